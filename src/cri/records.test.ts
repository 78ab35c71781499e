import { expect, test } from "bun:test";
import { nanosecondsOf, nowNanoseconds } from "./records.ts";

test("each time told is later than the one before, and is the time of day", () => {
  const start = Date.now();
  let before = 0n;
  for (let count = 0; count < 20_000; count++) {
    const now = BigInt(nowNanoseconds());
    expect(now > before).toBe(true);
    before = now;
  }
  const last = Number(before / 1_000_000n);
  expect(last).toBeGreaterThanOrEqual(start - 1);
  expect(last).toBeLessThanOrEqual(Date.now() + 50);
});

test("a time keeps all its digits", () => {
  expect(nanosecondsOf("2026-11-21T12:00:00.123456789Z")).toBe("1795262400123456789");
  expect(nanosecondsOf("2026-11-21T13:00:00.5+01:00")).toBe("1795262400500000000");
  expect(nanosecondsOf("2026-11-21T12:00:00Z")).toBe("1795262400000000000");
});
