/**
 * Command lines as crictl reads them (urfave/cli on Go's flag package): `-name` and `--name` are the same, a flag has any
 * number of names, flags end at the first argument, and `-it` is `-i -t` where the command says so.
 */
import { parseBool, parseDuration, parseInteger } from "../cli/flags/flag.ts";
import { goQuote } from "../cli/format/quote.ts";

export type FlagKind = "bool" | "string" | "int" | "duration" | "strings";

export interface FlagSpec {
  name: string;
  aliases?: readonly string[];
  kind: FlagKind;
  /** A word in backquotes is the placeholder of the value in the help. */
  usage: string;
  initial?: string | number;
  env?: string;
}

const spec =
  (kind: FlagKind) =>
  (names: string, usage: string, more: { initial?: string | number; env?: string } = {}): FlagSpec => {
    const [name = "", ...aliases] = names.split(",");
    return { name, aliases, kind, usage, ...more };
  };

/** `bool("all,a", "Show all")`: the name, then its other names. */
export const bool = spec("bool");
export const string = spec("string");
export const int = spec("int");
/** In nanoseconds. */
export const duration = spec("duration");
/** May be repeated, and each text is split at its commas. */
export const strings = spec("strings");

/** What the command line gave, with the flags of the program behind those of the command. */
export class Flags {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #given: ReadonlySet<string>;
  readonly #outer: Flags | undefined;

  constructor(values: ReadonlyMap<string, unknown>, given: ReadonlySet<string>, outer?: Flags) {
    this.#values = values;
    this.#given = given;
    this.#outer = outer;
  }

  is(name: string): boolean {
    return this.#get(name) === true;
  }

  text(name: string): string {
    return this.#get(name) as string;
  }

  number(name: string): number {
    return this.#get(name) as number;
  }

  list(name: string): string[] {
    return this.#get(name) as string[];
  }

  given(name: string): boolean {
    return this.#values.has(name) ? this.#given.has(name) : (this.#outer?.given(name) ?? false);
  }

  /** True when at least one flag of the command itself was given. */
  get any(): boolean {
    return this.#given.size > 0;
  }

  #get(name: string): unknown {
    if (this.#values.has(name)) return this.#values.get(name);
    return this.#outer === undefined ? undefined : this.#outer.#get(name);
  }
}

/** A command line that does not fit the flags; the text is Go's. */
export class UsageError extends Error {}

export interface ParsedLine {
  flags: Flags;
  args: string[];
}

export function parseLine(
  table: readonly FlagSpec[],
  words: readonly string[],
  options: { shortOptions?: boolean; outer?: Flags } = {},
): ParsedLine {
  const byName = new Map<string, FlagSpec>();
  const values = new Map<string, unknown>();
  const given = new Set<string>();
  for (const flag of table) {
    for (const name of [flag.name, ...(flag.aliases ?? [])]) byName.set(name, flag);
    values.set(flag.name, initialOf(flag));
    fromEnvironment(flag, values, given);
  }
  // What the environment gave is replaced, not added to.
  const seen = new Set<string>();
  const assign = (flag: FlagSpec, name: string, raw: string) => {
    const before = seen.has(flag.name) ? values.get(flag.name) : initialOf(flag);
    values.set(flag.name, convert(flag, name, raw, before));
    seen.add(flag.name);
    given.add(flag.name);
  };

  const rest = [...words];
  while (rest.length > 0) {
    const word = rest[0]!;
    if (word.length < 2 || !word.startsWith("-")) break;
    rest.shift();
    if (word === "--") break;
    const body = word.startsWith("--") ? word.slice(2) : word.slice(1);
    if (body === "" || body.startsWith("-") || body.startsWith("="))
      throw new UsageError(`bad flag syntax: ${word}`);
    const equals = body.indexOf("=");
    const name = equals > 0 ? body.slice(0, equals) : body;
    const flag = byName.get(name);
    if (!flag) {
      if (options.shortOptions && !word.startsWith("--") && [...body].every((char) => byName.has(char))) {
        rest.unshift(...[...body].map((char) => `-${char}`));
        continue;
      }
      throw new UsageError(`flag provided but not defined: -${name}`);
    }
    if (equals > 0) assign(flag, name, body.slice(equals + 1));
    else if (flag.kind === "bool") assign(flag, name, "true");
    else if (rest.length > 0) assign(flag, name, rest.shift()!);
    else throw new UsageError(`flag needs an argument: -${name}`);
  }
  return { flags: new Flags(values, given, options.outer), args: rest };
}

function initialOf(flag: FlagSpec): unknown {
  switch (flag.kind) {
    case "bool":
      return false;
    case "string":
      return flag.initial ?? "";
    case "strings":
      return [];
    default:
      return flag.initial ?? 0;
  }
}

function fromEnvironment(flag: FlagSpec, values: Map<string, unknown>, given: Set<string>): void {
  const raw = flag.env === undefined ? undefined : process.env[flag.env];
  if (raw === undefined || (raw === "" && flag.kind !== "string")) return;
  try {
    values.set(flag.name, convert(flag, flag.name, raw, initialOf(flag)));
  } catch {
    throw new UsageError(
      `could not parse ${goQuote(raw)} as ${flag.kind} value from environment variable ${goQuote(flag.env!)} for flag ${flag.name}: time: invalid duration ${goQuote(raw)}`,
    );
  }
  given.add(flag.name);
}

function convert(flag: FlagSpec, name: string, raw: string, before: unknown): unknown {
  try {
    switch (flag.kind) {
      case "bool":
        return parseBool(raw);
      case "int":
        return parseInteger(raw);
      case "duration":
        return parseDuration(raw);
      case "strings":
        return [...(before as string[]), ...raw.split(",")];
      default:
        return raw;
    }
  } catch (error) {
    const problem = String(error).includes("value out of range") ? "value out of range" : "parse error";
    throw new UsageError(
      flag.kind === "bool"
        ? `invalid boolean value ${goQuote(raw)} for -${name}: ${problem}`
        : `invalid value ${goQuote(raw)} for flag -${name}: ${problem}`,
    );
  }
}
