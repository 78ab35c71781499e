/**
 * Parses a command line as docker's (pflag) does: `--name value`, `--name=value`, `-n value`, `-nvalue`, bundles of
 * short switches, `--` to end the flags, `--switch=false`. Flags after the first argument count only when the command
 * says so (`run` and `exec` leave them to the container's command).
 */
import { goQuote } from "../format/quote.ts";
import type { Flag, FlagTable, Values } from "./flag.ts";

/** A command line that does not fit the flags; the text is what the user reads. */
export class FlagError extends Error {}

export interface Parsed<T extends FlagTable> {
  values: Values<T>;
  /** The flags that were given, whatever their value. */
  changed: ReadonlySet<string>;
  args: string[];
}

export function parseFlags<T extends FlagTable>(
  table: T,
  argv: readonly string[],
  interspersed = true,
): Parsed<T> {
  const values: Record<string, unknown> = {};
  const byShort = new Map<string, string>();
  for (const [name, flag] of Object.entries(table)) {
    values[name] = flag.initial;
    if (flag.short !== "") byShort.set(flag.short, name);
  }
  const changed = new Set<string>();
  const args: string[] = [];

  const assign = (name: string, flag: Flag<unknown>, raw: string) => {
    try {
      values[name] = flag.set(values[name], raw);
    } catch (error) {
      const shown = flag.short === "" ? `--${name}` : `-${flag.short}, --${name}`;
      throw new FlagError(
        `invalid argument ${goQuote(raw)} for ${goQuote(shown)} flag: ${(error as Error).message}`,
      );
    }
    changed.add(name);
  };

  let at = 0;
  while (at < argv.length) {
    const word = argv[at++]!;
    if (word === "--") {
      args.push(...argv.slice(at));
      break;
    }
    if (word.length < 2 || !word.startsWith("-")) {
      args.push(word);
      if (interspersed) continue;
      args.push(...argv.slice(at));
      break;
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      if (name === "" || name.startsWith("-") || name.startsWith("="))
        throw new FlagError(`bad flag syntax: ${word}`);
      const flag = Object.hasOwn(table, name) ? table[name] : undefined;
      if (!flag) throw new FlagError(`unknown flag: --${name}`);
      if (equals >= 0) assign(name, flag, word.slice(equals + 1));
      else if (flag.alone !== undefined) assign(name, flag, flag.alone);
      else if (at < argv.length) assign(name, flag, argv[at++]!);
      else throw new FlagError(`flag needs an argument: --${name}`);
      continue;
    }
    let rest = word.slice(1);
    while (rest !== "") {
      const short = rest[0]!;
      const name = byShort.get(short);
      if (name === undefined) throw new FlagError(`unknown shorthand flag: '${short}' in -${rest}`);
      const flag = table[name]!;
      if (rest[1] === "=") {
        assign(name, flag, rest.slice(2));
        break;
      }
      if (flag.alone !== undefined) {
        assign(name, flag, flag.alone);
        rest = rest.slice(1);
        continue;
      }
      if (rest.length > 1) assign(name, flag, rest.slice(1));
      else if (at < argv.length) assign(name, flag, argv[at++]!);
      else throw new FlagError(`flag needs an argument: '${short}' in -${rest}`);
      break;
    }
  }
  return { values: values as Values<T>, changed, args };
}
