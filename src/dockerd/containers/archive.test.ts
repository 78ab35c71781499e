import { expect, test } from "bun:test";
import { goMode } from "./archive.ts";

test("modes are Go's: type and special bits at the top", () => {
  expect(goMode(0o040755)).toBe(0x80000000 + 0o755);
  expect(goMode(0o120777)).toBe(0x08000000 + 0o777);
  expect(goMode(0o104755)).toBe(0x00800000 + 0o755);
  expect(goMode(0o041777)).toBe(0x80100000 + 0o777);
  expect(goMode(0o100644)).toBe(0o644);
});
