import { expect, test } from "bun:test";
import { CortenError } from "../../base/errors.ts";
import { Tokens } from "./tokens.ts";

test("a token is good once", () => {
  const tokens = new Tokens<string>();
  const token = tokens.put("a");
  expect(token).toMatch(/^[\w-]{22}$/);
  expect(tokens.peek(token)).toBe("a");
  expect(tokens.take(token)).toBe("a");
  expect(tokens.take(token)).toBeUndefined();
});

test("a token ends after a minute", () => {
  let now = 0;
  const tokens = new Tokens<string>(() => now);
  const token = tokens.put("a");
  now = 59_999;
  expect(tokens.peek(token)).toBe("a");
  now = 60_000;
  expect(tokens.take(token)).toBeUndefined();
});

test("a thousand requests wait, the next is refused until one has gone", () => {
  let now = 0;
  const tokens = new Tokens<number>(() => now);
  const first = tokens.put(0);
  for (let index = 1; index < 1000; index++) tokens.put(index);
  expect(() => tokens.put(1000)).toThrow(CortenError);
  tokens.take(first);
  tokens.put(1000);
  expect(() => tokens.put(1001)).toThrow("maximum number of in-flight requests exceeded");
  now = 60_000;
  tokens.put(1001);
});
