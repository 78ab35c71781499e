import { invalid } from "../../base/errors.ts";

export type FlagType = "boolean" | "string" | "list";
/** `name: type`; one-letter names after a comma: `"detach,d": "boolean"`. */
export type FlagSpec = Readonly<Record<string, FlagType>>;

export class Flags {
  readonly #values = new Map<string, string[]>();
  /** What follows the flags. */
  args: string[] = [];

  add(name: string, value: string): void {
    this.#values.set(name, [...(this.#values.get(name) ?? []), value]);
  }
  has(name: string): boolean {
    return this.#values.has(name);
  }
  is(name: string): boolean {
    return this.#values.get(name)?.at(-1) === "true";
  }
  get(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }
  list(name: string): string[] {
    return this.#values.get(name) ?? [];
  }
}

/** Go's flag rules, as ctr has them: `-x`, `--x`, `--x=v`, `--x v`; the first other word ends the flags. */
export function parseFlags(argv: readonly string[], spec: FlagSpec): Flags {
  const known = new Map<string, { name: string; type: FlagType }>();
  for (const [names, type] of Object.entries(spec)) {
    const [name = "", ...short] = names.split(",");
    for (const word of [name, ...short]) known.set(word, { name, type });
  }
  const flags = new Flags();
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === "--") {
      at++;
      break;
    }
    const match = word.match(/^--?([^=]+)(?:=(.*))?$/s);
    if (!match || word === "-") break;
    const flag = known.get(match[1]!);
    if (!flag) throw invalid(`flag provided but not defined: -${match[1]}`);
    if (flag.type === "boolean") flags.add(flag.name, match[2] ?? "true");
    else {
      const value = match[2] ?? argv[++at];
      if (value === undefined) throw invalid(`flag needs an argument: -${match[1]}`);
      flags.add(flag.name, value);
    }
  }
  flags.args = argv.slice(at);
  return flags;
}
