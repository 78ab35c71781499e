/** Times of `--since` and `--until` as the API takes them: Unix seconds with nanoseconds. */
import { parseDuration } from "../flags/flag.ts";

/** A duration before now, RFC 3339 with or without zone and parts, a date, or Unix seconds as they are. */
export function timestamp(text: string, now = Date.now()): string {
  try {
    const nanoseconds = BigInt(now) * 1_000_000n - BigInt(parseDuration(text));
    return seconds(nanoseconds);
  } catch {
    // Not a duration.
  }
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d+)?)?)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(
    text,
  );
  if (!match) {
    if (/^\d+(\.\d+)?$/.test(text)) return text;
    throw new Error(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  }
  const [, date, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  const milliseconds = new Date(`${date}T${hour}:${minute}:${second}${zone}`).getTime();
  const nanoseconds = BigInt(milliseconds) * 1_000_000n + BigInt(fraction.slice(1, 10).padEnd(9, "0"));
  return seconds(nanoseconds);
}

const seconds = (nanoseconds: bigint) =>
  `${nanoseconds / 1_000_000_000n}.${String(nanoseconds % 1_000_000_000n).padStart(9, "0")}`;
