/** Sizes in words, with docker's (go-units') rounding, and sizes read from text. */
import { humanDuration } from "../../base/duration.ts";
import { goQuote } from "./quote.ts";

const decimal = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/** `1.23MB`; the precision counts digits, as Go's %g does. */
export function humanSize(bytes: number, precision = 4): string {
  return scaled(bytes, 1000, decimal, precision);
}

/** `1.5GiB`. */
export function binarySize(bytes: number): string {
  return scaled(bytes, 1024, binary, 4);
}

function scaled(bytes: number, base: number, names: readonly string[], precision: number): string {
  let value = bytes;
  let at = 0;
  while (value >= base && at < names.length - 1) {
    value /= base;
    at++;
  }
  return general(value, precision) + names[at];
}

/** Go's `%.<precision>g`. */
export function general(value: number, precision: number): string {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toPrecision(precision).split("e");
  const short = mantissa!.includes(".") ? mantissa!.replace(/\.?0+$/, "") : mantissa!;
  if (exponent === undefined) return short;
  return `${short}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** `… ago` of a Unix time in seconds. */
export const since = (unixSeconds: number) => `${humanDuration(Date.now() / 1000 - unixSeconds)} ago`;

const multipliers: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** Bytes of `64m`, `1.5GiB`, `512 kb`. */
export function parseBytes(text: string): number {
  const invalid = new Error(`invalid size: '${text}'`);
  const digits = Math.max(...[..."0123456789. "].map((char) => text.lastIndexOf(char)));
  if (digits < 0) throw invalid;
  const number = text[digits] === " " ? text.slice(0, digits) : text.slice(0, digits + 1);
  const suffix = text.slice(digits + 1).toLowerCase();
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(number))
    throw new Error(`strconv.ParseFloat: parsing ${goQuote(number)}: invalid syntax`);
  const value = Number(number);
  if (value < 0) throw invalid;
  if (suffix === "" || suffix === "b") return Math.trunc(value);
  const badSuffix = new Error(`invalid suffix: '${text.slice(digits + 1)}'`);
  const multiplier = multipliers[suffix[0]!];
  if (multiplier === undefined || !/^.(i?b)?$/.test(suffix)) throw badSuffix;
  return Math.trunc(value * multiplier);
}
