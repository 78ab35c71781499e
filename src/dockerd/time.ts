import { invalid } from "../base/errors.ts";
import { nowNano } from "../base/trace.ts";

/** Go's zero time, as it appears in the API for "never". */
export const never = "0001-01-01T00:00:00Z";

/** Unix nanoseconds as RFC 3339 with up to nine digits, trailing zeros cut (Go's RFC3339Nano, UTC). */
export function formatNano(nano: bigint): string {
  const seconds = nano / 1_000_000_000n;
  const rest = nano % 1_000_000_000n;
  const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  if (rest === 0n) return `${base}Z`;
  return `${base}.${rest.toString().padStart(9, "0").replace(/0+$/, "")}Z`;
}

export const now = (): string => formatNano(nowNano());

/** RFC 3339 with any number of fraction digits and any offset → Unix nanoseconds. */
export function parseRfc3339(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:?\d\d)?$/.exec(
    text,
  );
  if (!match) return undefined;
  const [, day, clock, fraction = "", zone = "Z"] = match;
  const time = Date.parse(`${day}T${clock!.length === 5 ? `${clock}:00` : clock}${zone.toUpperCase()}`);
  if (Number.isNaN(time)) return undefined;
  return BigInt(time) * 1_000_000n + BigInt(fraction.padEnd(9, "0") || 0);
}

/**
 * A `since`/`until` parameter: Unix seconds with an optional fraction, RFC 3339, or a Go duration that is
 * counted back from now. "" and 0 mean no bound.
 */
export function parseTimestamp(text: string): bigint | undefined {
  if (text === "" || text === "0") return undefined;
  const unix = /^(-?\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (unix) return BigInt(unix[1]!) * 1_000_000_000n + BigInt((unix[2] ?? "").padEnd(9, "0") || 0);
  const date = parseRfc3339(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text);
  if (date !== undefined) return date;
  const duration = parseDuration(text);
  if (duration !== undefined) return nowNano() - duration;
  throw invalid(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
}

const units: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** Go's duration text ("1h2m3.5s") in nanoseconds. */
export function parseDuration(text: string): bigint | undefined {
  if (!/^[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g))
    total += Number(number) * units[unit!]!;
  return BigInt(Math.round(text.startsWith("-") ? -total : total));
}
