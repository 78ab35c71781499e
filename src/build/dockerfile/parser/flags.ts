/** Flags of an instruction: `--name`, `--name=value`. */
import { SyntaxProblem } from "../errors.ts";
import { withSuggestion } from "../suggest.ts";

export type FlagType = "boolean" | "text" | "list";

export interface Flags {
  text(name: string): string;
  boolean(name: string): boolean;
  list(name: string): string[];
  used(name: string): boolean;
  readonly names: readonly string[];
}

/** Reads `args` by what the instruction knows; a flag that is not a list comes once. */
export function parseFlags(args: readonly string[], known: Readonly<Record<string, FlagType>>): Flags {
  const values = new Map<string, string[]>();
  for (const arg of args) {
    if (!arg.startsWith("--")) throw new SyntaxProblem(`arg should start with -- : ${arg}`, arg);
    const equals = arg.indexOf("=");
    const flag = equals < 0 ? arg : arg.slice(0, equals);
    const value = equals < 0 ? undefined : arg.slice(equals + 1);
    const name = flag.slice(2);
    const type = Object.hasOwn(known, name) ? known[name] : undefined;
    if (type === undefined)
      throw new SyntaxProblem(withSuggestion(`unknown flag: ${flag}`, name, Object.keys(known), true), flag);
    const before = values.get(name);
    if (before && type !== "list") throw new SyntaxProblem(`duplicate flag specified: ${flag}`, flag);
    if (value === undefined ? type !== "boolean" : type === "boolean" && value === "")
      throw new SyntaxProblem(`missing a value on flag: ${flag}`, flag);
    const given = type === "boolean" ? booleanOf(flag, value) : value!;
    values.set(name, [...(before ?? []), given]);
  }
  return {
    text: (name) => values.get(name)?.[0] ?? "",
    boolean: (name) => values.get(name)?.[0] === "true",
    list: (name) => values.get(name) ?? [],
    used: (name) => values.has(name),
    names: [...values.keys()].sort(),
  };
}

function booleanOf(flag: string, value: string | undefined): string {
  const lower = (value ?? "true").toLowerCase();
  if (lower === "true" || lower === "false") return lower;
  throw new SyntaxProblem(`expecting boolean value for flag ${flag}, not: ${value}`, flag);
}
