import { expect, test } from "bun:test";
import { demultiplex, firstJson, jsonLines } from "./streams.ts";

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const frame = (stream: number, text: string) => {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
};

for (const size of [1, 3, 8, 1000])
  test(`frames are taken apart when they arrive ${size} bytes at a time`, async () => {
    const bytes = Buffer.concat([frame(1, "hello "), frame(2, "oops"), frame(1, ""), frame(1, "world")]);
    const out = { stdout: "", stderr: "" } as Record<string, string>;
    for await (const chunk of demultiplex(pieces(bytes, size)))
      out[chunk.stream] += Buffer.from(chunk.bytes).toString();
    expect(out).toEqual({ stdout: "hello world", stderr: "oops" });
  });

test("a frame of no known stream is an error", async () => {
  const read = async () => {
    for await (const _ of demultiplex(pieces(frame(9, "x"), 100)));
  };
  expect(read()).rejects.toThrow("Unrecognized input header: 9");
});

test("JSON lines survive being cut within a character", async () => {
  const seen: unknown[] = [];
  for await (const line of jsonLines(pieces(Buffer.from('{"a":"é"}\r\n\n{"b":2}'), 1))) seen.push(line);
  expect(seen).toEqual([{ a: "é" }, { b: 2 }]);
});

test("the first JSON is there with its line, or at the end", async () => {
  const body = (...parts: string[]) => {
    const left = parts.map((part) => Buffer.from(part, "latin1"));
    return { read: async () => left.shift(), async *[Symbol.asyncIterator]() {} };
  };
  expect(await firstJson<unknown>(body('\n{"a":"\xc3', '\xa9"}\n{"b"'))).toEqual({ a: "é" });
  expect(await firstJson<unknown>(body('{"a":', "1}"))).toEqual({ a: 1 });
  expect(await firstJson<unknown>(body(" \n"))).toBeUndefined();
});
