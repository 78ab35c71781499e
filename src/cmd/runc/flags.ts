/** Flags as runc's command line takes them: one or two dashes, `=` or the next word, lists by repetition. */
import { invalid } from "../../base/errors.ts";

export type FlagKind = "bool" | "string" | "list";
/** Long name, one-letter name if any, kind. */
export type Flag = readonly [name: string, short: string, kind: FlagKind];

export class Flags {
  readonly args: string[];
  readonly #values: Map<string, string[]>;
  constructor(values: Map<string, string[]>, args: string[]) {
    this.#values = values;
    this.args = args;
  }
  has(name: string): boolean {
    return this.#values.has(name);
  }
  bool(name: string): boolean {
    const value = this.#values.get(name)?.at(-1);
    return value !== undefined && value !== "false" && value !== "0";
  }
  string(name: string): string {
    return this.#values.get(name)?.at(-1) ?? "";
  }
  list(name: string): string[] {
    return this.#values.get(name) ?? [];
  }
  /** A whole number, `fallback` when the flag is not there. */
  integer(name: string, fallback = 0): number {
    const text = this.string(name);
    if (text === "") return fallback;
    if (!/^-?\d+$/.test(text))
      throw invalid(`invalid value ${JSON.stringify(text)} for flag -${name}: parse error`);
    return Number(text);
  }
}

/** The name and what follows the `=`; no name for what is no flag. Without an expression: compiling one costs 0.15 ms. */
function split(word: string): { name: string; inline?: string } {
  const dashes = word.startsWith("--") ? 2 : 1;
  const first = word[dashes];
  if (!word.startsWith("-") || first === undefined || first === "-" || first === "=") return { name: "" };
  const equals = word.indexOf("=");
  if (equals < 0) return { name: word.slice(dashes) };
  return { name: word.slice(dashes, equals), inline: word.slice(equals + 1) };
}

/** `stopAtFirst`: what follows the first word that is no flag is not ours (exec's command line). */
export function parseFlags(argv: readonly string[], flags: readonly Flag[], stopAtFirst = false): Flags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index]!;
    if (word === "--") {
      args.push(...argv.slice(index + 1));
      break;
    }
    const { name, inline } = split(word);
    if (name === "") {
      if (stopAtFirst) {
        args.push(...argv.slice(index));
        break;
      }
      args.push(word);
      continue;
    }
    let flag: Flag | undefined;
    for (const one of flags) if (one[0] === name || (one[1] !== "" && one[1] === name)) flag ??= one;
    if (!flag) throw invalid(`flag provided but not defined: -${name}`);
    const [long, , kind] = flag;
    let value = inline;
    if (value === undefined) {
      if (kind === "bool") value = "true";
      else if (index + 1 < argv.length) value = argv[++index]!;
      else throw invalid(`flag needs an argument: -${name}`);
    }
    const before = values.get(long);
    if (before && kind === "list") before.push(value);
    else values.set(long, [value]);
  }
  return new Flags(values, args);
}
