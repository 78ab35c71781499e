import { expect, test } from "bun:test";
import { nowNanoseconds } from "./records.ts";

test("each time told is later than the one before, and is the time of day", () => {
  let before = 0n;
  for (let count = 0; count < 20_000; count++) {
    const now = BigInt(nowNanoseconds());
    expect(now > before).toBe(true);
    before = now;
  }
  expect(Math.abs(Number(before / 1_000_000n) - Date.now())).toBeLessThan(50);
});
