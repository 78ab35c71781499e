import { expect, test } from "bun:test";
import { formatNano, parseDuration, parseRfc3339, parseTimestamp } from "./time.ts";

test("nanoseconds survive writing and reading", () => {
  const nano = 1_767_225_600_123_456_789n;
  expect(formatNano(nano)).toBe("2026-01-01T00:00:00.123456789Z");
  expect(parseRfc3339(formatNano(nano))).toBe(nano);
  expect(formatNano(1_767_225_600_500_000_000n)).toBe("2026-01-01T00:00:00.5Z");
});

test("offsets are applied", () => {
  expect(parseRfc3339("2026-01-01T02:00:00+02:00")).toBe(1_767_225_600_000_000_000n);
});

test("since may be seconds, a date or a time ago", () => {
  expect(parseTimestamp("1767225600.000000005")).toBe(1_767_225_600_000_000_005n);
  expect(parseTimestamp("0")).toBeUndefined();
  expect(parseTimestamp("2026-01-01")).toBe(1_767_225_600_000_000_000n);
  expect(parseDuration("1m30s")).toBe(90_000_000_000n);
  expect(() => parseTimestamp("tomorrow")).toThrow("failed to parse value as time or duration");
});
