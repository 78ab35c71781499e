/** Numbers as Go reads them, with its texts for those that are none. */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";

/** strconv.ParseBool; undefined: none. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  return /^(?:0|f|F|FALSE|false|False)$/.test(text) ? false : undefined;
}

/** strconv.ParseUint of 32 bits; undefined: none. */
export function parseUnsigned(text: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(text)) return undefined;
  const number = Number.parseInt(text, base);
  return number <= 0xffffffff ? number : undefined;
}

/** strconv.ParseInt of 32 bits. */
export function parseInteger(text: string): number {
  const number = Number(text);
  if (!/^[+-]?[0-9]+$/.test(text))
    throw new SyntaxProblem(`strconv.ParseInt: parsing ${quote(text)}: invalid syntax`, text);
  if (number > 0x7fffffff || number < -0x80000000)
    throw new SyntaxProblem(`strconv.ParseInt: parsing ${quote(text)}: value out of range`, text);
  return number;
}

/** Bytes of `64m`, `1.5 GiB` (docker/go-units, RAMInBytes); undefined: none. */
export function parseSize(text: string): number | undefined {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) ?([a-zA-Z]*)$/.exec(text);
  const unit = (match?.[2] ?? "").toLowerCase();
  if (!match || !/^(?:b|[kmgtp](?:i?b)?)?$/.test(unit)) return undefined;
  const power = unit === "" || unit === "b" ? 0 : "kmgtp".indexOf(unit[0]!) + 1;
  const size = Number(match[1]) * 1024 ** power;
  return size >= 0 && size < 2 ** 63 ? Math.trunc(size) : undefined;
}

const nanoseconds: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

const longest = 1n << 63n;

/** time.ParseDuration: nanoseconds of `1h30m`, `-1.5s`. */
export function parseDuration(text: string): number {
  const bad = (what: string) => new SyntaxProblem(`time: ${what} ${quoteAscii(text)}`, text);
  const negative = text.startsWith("-");
  let rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw bad("invalid duration");
  let total = 0n;
  while (rest !== "") {
    const match = /^(\d*)(?:(\.)(\d*))?/.exec(rest)!;
    const whole = match[1] ?? "";
    const fraction = match[3] ?? "";
    if (whole === "" && fraction === "") throw bad("invalid duration");
    // More than nineteen digits do not fit, and need not be multiplied out.
    if (whole.replace(/^0+/, "").length > 19 || BigInt(whole || "0") > longest) throw bad("invalid duration");
    rest = rest.slice(match[0].length);
    const name = /^[^.\d]*/.exec(rest)![0];
    if (name === "") throw bad("missing unit in duration");
    const unit = Object.hasOwn(nanoseconds, name) ? nanoseconds[name] : undefined;
    if (unit === undefined) throw bad(`unknown unit ${quoteAscii(name)} in duration`);
    rest = rest.slice(name.length);
    const digits = fraction.slice(0, 18);
    total += BigInt(whole || "0") * unit + (BigInt(digits || "0") * unit) / 10n ** BigInt(digits.length);
    if (total > longest) throw bad("invalid duration");
  }
  if (!negative && total > longest - 1n) throw bad("invalid duration");
  return Number(negative ? -total : total);
}

/** Package time's own quoting: what is not ASCII by its bytes. */
function quoteAscii(text: string): string {
  let out = '"';
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    if (byte < 0x20 || byte >= 0x80) out += `\\x${byte.toString(16).padStart(2, "0")}`;
    else out += character === '"' || character === "\\" ? `\\${character}` : character;
  }
  return `${out}"`;
}
