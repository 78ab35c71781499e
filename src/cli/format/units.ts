/** Sizes and durations in words, with docker's (go-units') rounding, and sizes read from text. */
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

/** `About an hour`, `3 weeks`, … of a time in seconds. */
export function humanDuration(secondsTotal: number): string {
  const seconds = Math.trunc(secondsTotal);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(secondsTotal / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.trunc(secondsTotal / 3600 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(Math.trunc(secondsTotal / 3600) / 24 / 365)} years`;
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
