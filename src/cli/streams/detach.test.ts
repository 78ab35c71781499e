import { expect, test } from "bun:test";
import { DetachScanner, parseDetachKeys } from "./detach.ts";

const scan = (chunks: string[]) => {
  const scanner = new DetachScanner(parseDetachKeys("ctrl-p,ctrl-q"));
  let passed = "";
  for (const chunk of chunks) {
    const { pass, detached } = scanner.scan(Buffer.from(chunk));
    passed += Buffer.from(pass).toString();
    if (detached) return { passed, detached };
  }
  return { passed, detached: false };
};

test("the keys detach, also when they arrive apart", () => {
  expect(scan(["ab\x10\x11cd"])).toEqual({ passed: "ab", detached: true });
  expect(scan(["ab\x10", "\x11"])).toEqual({ passed: "ab", detached: true });
});

test("a sequence that breaks off is sent on", () => {
  expect(scan(["\x10x"])).toEqual({ passed: "\x10x", detached: false });
  expect(scan(["\x10\x10\x11"])).toEqual({ passed: "\x10", detached: true });
});

test("an unknown key is refused", () => {
  expect(() => parseDetachKeys("ctrl-p,nope")).toThrow("nope");
});
