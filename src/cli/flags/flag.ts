/**
 * The kinds of flags. A flag turns its text into a value; parsing of command lines is in `parse.ts`, the
 * help text in `../usage.ts`. The type names and the words of the errors are those of docker's command line.
 */
import { goQuote } from "../format/quote.ts";

export interface Flag<T> {
  short: string;
  /** Shown after the name in the help; empty for switches. */
  typeName: string;
  help: string;
  initial: T;
  /** The next value, given the one so far. Throws an Error whose text says what is wrong with `raw`. */
  set(current: T, raw: string): T;
  /** The value of the flag standing alone, as switches do. */
  alone?: string;
  /** What the help says the default is; undefined says nothing. */
  shownDefault?: string;
  hidden?: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds flags of all types; `Values` gives each its own back.
export type FlagTable = Record<string, Flag<any>>;
export type Values<T extends FlagTable> = { [K in keyof T]: T[K]["initial"] };

export function bool(short: string, help: string, initial = false): Flag<boolean> {
  return {
    short,
    typeName: "",
    help,
    initial,
    set: (_, raw) => parseBool(raw),
    alone: "true",
    ...(initial ? { shownDefault: "true" } : {}),
  };
}

export function string(short: string, help: string, initial = "", typeName = "string"): Flag<string> {
  return {
    short,
    typeName,
    help,
    initial,
    set: (_, raw) => raw,
    ...(initial === "" ? {} : { shownDefault: goQuote(initial) }),
  };
}

/** A whole number; `bits` bounds it and `unsigned` forbids a sign, as the API's field does. */
export function int(
  short: string,
  help: string,
  options: { initial?: number; typeName?: string; bits?: number; unsigned?: boolean } = {},
): Flag<number> {
  const initial = options.initial ?? 0;
  return {
    short,
    typeName: options.typeName ?? "int",
    help,
    initial,
    set: (_, raw) => parseInteger(raw, options.bits ?? 64, options.unsigned ?? false),
    ...(initial === 0 ? {} : { shownDefault: String(initial) }),
  };
}

/** A flag that may be repeated; each text goes through `check`, which may change or refuse it. */
export function list(
  short: string,
  help: string,
  check: (raw: string) => string = (raw) => raw,
  typeName = "list",
): Flag<string[]> {
  return { short, typeName, help, initial: [], set: (current, raw) => [...current, check(raw)] };
}

/** `key=value`, repeated, into a map. */
export function map(
  short: string,
  help: string,
  check: (raw: string) => string = (raw) => raw,
): Flag<Record<string, string>> {
  return {
    short,
    typeName: "map",
    help,
    initial: {},
    shownDefault: "map[]",
    set: (current, raw) => {
      const checked = check(raw);
      const at = checked.indexOf("=");
      return at < 0
        ? { ...current, [checked]: "" }
        : { ...current, [checked.slice(0, at)]: checked.slice(at + 1) };
    },
  };
}

/** `--filter key=value`. */
export function filter(
  short = "f",
  help = "Keep only what matches (key=value)",
): Flag<Record<string, string[]>> {
  return {
    short,
    typeName: "filter",
    help,
    initial: {},
    set: (current, raw) => {
      if (raw === "") return current;
      const at = raw.indexOf("=");
      if (at < 0) throw new Error("bad format of filter (expected name=value)");
      const name = raw.slice(0, at).trim().toLowerCase();
      const value = raw.slice(at + 1).trim();
      return { ...current, [name]: [...new Set([...(current[name] ?? []), value])] };
    },
  };
}

/** A flag whose texts are parsed by the caller's function. */
export function custom<T>(
  typeName: string,
  short: string,
  help: string,
  initial: T,
  set: (current: T, raw: string) => T,
  shownDefault?: string,
): Flag<T> {
  return { short, typeName, help, initial, set, ...(shownDefault === undefined ? {} : { shownDefault }) };
}

/** A duration in nanoseconds, in Go's notation: `1h30m`, `1.5s`, `100ms`. */
export function duration(short: string, help: string): Flag<number> {
  return {
    short,
    typeName: "duration",
    help,
    initial: 0,
    shownDefault: "0s",
    set: (_, raw) => parseDuration(raw),
  };
}

export function parseBool(raw: string): boolean {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(raw)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(raw)) return false;
  throw new Error(`strconv.ParseBool: parsing ${goQuote(raw)}: invalid syntax`);
}

export function parseInteger(raw: string, bits = 64, unsigned = false): number {
  const name = unsigned ? "strconv.ParseUint" : "strconv.ParseInt";
  const sign = unsigned ? "" : "[+-]?";
  if (!new RegExp(`^${sign}(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)$`).test(raw))
    throw new Error(`${name}: parsing ${goQuote(raw)}: invalid syntax`);
  const negative = raw.startsWith("-");
  const digits = raw.replace(/^[+-]/, "").replace(/^0(?=[0-7]+$)/, "0o");
  const magnitude = BigInt(digits);
  const limit = unsigned ? (1n << BigInt(bits)) - 1n : (1n << BigInt(bits - 1)) - (negative ? 0n : 1n);
  if (magnitude > limit) throw new Error(`${name}: parsing ${goQuote(raw)}: value out of range`);
  return Number(negative ? -magnitude : magnitude);
}

const unitNanoseconds: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

export function parseDuration(raw: string): number {
  const bad = () => new Error(`time: invalid duration ${goQuote(raw)}`);
  let rest = raw.replace(/^[+-]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw bad();
  let total = 0;
  while (rest !== "") {
    const match = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest);
    if (!match) throw bad();
    if (match[2] === "") throw new Error(`time: missing unit in duration ${goQuote(raw)}`);
    const unit = unitNanoseconds[match[2]!];
    if (unit === undefined)
      throw new Error(`time: unknown unit ${goQuote(match[2]!)} in duration ${goQuote(raw)}`);
    total += Number(match[1]) * unit;
    rest = rest.slice(match[0].length);
  }
  return Math.trunc(raw.startsWith("-") ? -total : total);
}
