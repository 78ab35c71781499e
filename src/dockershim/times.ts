/** Nanoseconds since 1970 of an RFC 3339 time; 0 for Go's zero time, which the daemon has for "never". */
export function nanoseconds(time: string): bigint {
  const match = /^(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  if (!match || time.startsWith("0001-")) return 0n;
  const fraction = BigInt((match[2] ?? "").slice(0, 9).padEnd(9, "0"));
  return BigInt(Date.parse(match[1]! + match[3]!)) * 1_000_000n + fraction;
}

/** Nanoseconds since 1970, now. */
export const now = (): bigint => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
