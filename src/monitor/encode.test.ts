import { expect, test } from "bun:test";
import { encodeOperations } from "./encode.ts";
import type { OperationShape } from "./ops.gen.ts";

const shape: OperationShape = {
  number: 7,
  roles: ["child"],
  fields: [
    ["text", "str"],
    ["after", "u32"],
    ["wide", "u64"],
  ],
};
const encode = (text: string, wide: number | bigint = 0) =>
  encodeOperations(
    [{ name: "example", shape, role: "child", tolerant: false, values: { text, after: 42, wide } }],
    0,
  );

test("a text is its length in bytes, its bytes, a NUL and padding, whatever it is made of", () => {
  for (const text of ["", "a", "abc", "abcd", "ü→😀", "\ud800", "→".repeat(30_000), "x".repeat(70_000)]) {
    const bytes = Buffer.from(encode(text));
    const content = Buffer.from(text);
    const at = 40;
    expect(bytes.readUInt32LE(at)).toBe(content.length);
    expect(bytes.subarray(at + 4, at + 4 + content.length).equals(content)).toBe(true);
    const end = at + 4 + ((content.length + 4) & ~3);
    expect(bytes.subarray(at + 4 + content.length, end).every((byte) => byte === 0)).toBe(true);
    expect([bytes.readUInt32LE(end), bytes.length]).toEqual([42, end + 12]);
    expect(bytes.readUInt32LE(32)).toBe(bytes.length - 32);
  }
});

test("64-bit values small and large keep their value", () => {
  for (const value of [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 40, 5n, 2n ** 64n - 1n]) {
    const bytes = Buffer.from(encode("", value));
    expect(bytes.readBigUInt64LE(bytes.length - 8)).toBe(BigInt(value));
  }
});
