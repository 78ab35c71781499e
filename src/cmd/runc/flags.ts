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
    const [, name, , inline] = word.match(/^--?([^=-][^=]*)(=([\s\S]*))?$/) ?? [];
    if (name === undefined) {
      if (stopAtFirst) {
        args.push(...argv.slice(index));
        break;
      }
      args.push(word);
      continue;
    }
    const flag = flags.find(([long, short]) => long === name || (short !== "" && short === name));
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
