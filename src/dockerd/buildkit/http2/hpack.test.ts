import { expect, test } from "bun:test";
import { encodeHeaders, HeaderDecoder } from "./hpack.ts";
import { decodeHuffman } from "./huffman.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

test("a Huffman code of RFC 7541 is decoded (C.4.1)", () => {
  expect(decodeHuffman(hex("f1e3 c2e5 f23a 6ba0 ab90 f4ff")).toString()).toBe("www.example.com");
});

test("a Huffman code with a wrong end is refused", () => {
  expect(() => decodeHuffman(hex("f1e3 c2e5 f23a 6ba0 ab90 f400"))).toThrow("malformed");
  expect(() => decodeHuffman(hex("ffff ffff"))).toThrow("malformed");
});

test("the requests of RFC 7541 C.4 share a table", () => {
  const decoder = new HeaderDecoder();
  const first = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
  ] as const;
  expect(decoder.decode(hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"))).toEqual([...first]);
  expect(decoder.decode(hex("8286 84be 5886 a8eb 1064 9cbf"))).toEqual([
    ...first,
    ["cache-control", "no-cache"],
  ]);
  expect(decoder.decode(hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"))).toEqual([
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    ["custom-key", "custom-value"],
  ]);
});

test("what is encoded is what is decoded, long values included", () => {
  const fields = [
    [":method", "POST"],
    [":path", "/moby.filesync.v1.FileSync/DiffCopy"],
    ["exclude-patterns", "x".repeat(70_000)],
    ["exclude-patterns", ""],
    ["te", "trailers"],
  ] as const;
  expect(new HeaderDecoder().decode(encodeHeaders(fields))).toEqual([...fields]);
});

test("a block that is cut short, or names what is not there, is refused", () => {
  expect(() => new HeaderDecoder().decode(hex("0085"))).toThrow("cut short");
  expect(() => new HeaderDecoder().decode(hex("ff ff ff ff ff 0f"))).toThrow("malformed");
  expect(() => new HeaderDecoder().decode(hex("be"))).toThrow("no entry");
  // A table larger than agreed upon.
  expect(() => new HeaderDecoder().decode(hex("3fe2 1f 01"))).toThrow("larger");
});
