import { expect, test } from "bun:test";
import type { Wire } from "../wire.ts";
import { type Piece, WebSocketConnection } from "./connection.ts";
import { closeCode, encodeFrame, opcode, unmask } from "./frames.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const key = Uint8Array.of(0x11, 0xa2, 0x33, 0xc4);

/** A client's frame: masked, with the length as short as can be. */
function clientFrame(first: number, payload: Uint8Array | string, masked = true): Buffer {
  const bytes = Buffer.from(payload);
  const frame = encodeFrame(0, bytes);
  const head = frame.subarray(0, frame.length - bytes.length);
  head[0] = first;
  if (!masked) return frame;
  head[1]! |= 0x80;
  return Buffer.concat([head, key, unmask(bytes, key, 0)]);
}
const final = 0x80;

/** What a server makes of bytes in pieces of `size`: messages, and what it answers. */
async function serve(bytes: Uint8Array, size = bytes.length) {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  const written: Uint8Array[] = [];
  let ended = false;
  const wire: Wire = {
    read: async () => pieces.shift(),
    write: async (frame) => written.push(frame) > 0,
    end: () => {
      ended = true;
    },
    destroy: () => {},
    signal: new AbortController().signal,
  };
  const messages: string[] = [];
  const connection = new WebSocketConnection(wire);
  await connection.run(async ({ bytes: part, text, first }: Piece) => {
    if (first) messages.push(text ? "text:" : "binary:");
    messages[messages.length - 1] += Buffer.from(part).toString();
  });
  await new Promise((resolve) => setImmediate(resolve));
  return { messages, answers: Buffer.concat(written), ended };
}

test("messages come whole, in parts and byte by byte", async () => {
  const bytes = Buffer.concat([
    clientFrame(final | opcode.binary, "one"),
    clientFrame(opcode.text, "tw"),
    clientFrame(final | opcode.ping, "!"),
    clientFrame(opcode.continuation, ""),
    clientFrame(final | opcode.continuation, "o"),
    clientFrame(final | opcode.binary, ""),
    clientFrame(final | opcode.binary, "x".repeat(300)),
    clientFrame(final | opcode.binary, "y".repeat(70_000)),
  ]);
  const expected = [
    "binary:one",
    "text:two",
    "binary:",
    `binary:${"x".repeat(300)}`,
    `binary:${"y".repeat(70_000)}`,
  ];
  for (const size of [1, 3, 1000, bytes.length]) {
    const { messages, answers, ended } = await serve(bytes, size);
    expect(messages).toEqual(expected);
    expect(hex(answers)).toBe(hex(encodeFrame(opcode.pong, Buffer.from("!"))));
    expect(ended).toBe(true);
  }
});

test("a close frame is answered by its like, and nothing is read after it", async () => {
  const close = Buffer.from([closeCode.normal >> 8, closeCode.normal & 0xff, 0x62, 0x79]);
  const { messages, answers, ended } = await serve(
    Buffer.concat([clientFrame(final | opcode.close, close), clientFrame(final | opcode.text, "late")]),
  );
  expect(messages).toEqual([]);
  expect(hex(answers)).toBe(hex(encodeFrame(opcode.close, close.subarray(0, 2))));
  expect(ended).toBe(true);
});

test("who breaks the protocol gets a close frame that says so", async () => {
  const wrong = [
    clientFrame(final | opcode.binary, "x", false),
    clientFrame(final | 0x40 | opcode.binary, "x"),
    clientFrame(final | 3, "x"),
    clientFrame(final | 11, "x"),
    clientFrame(final | opcode.continuation, "x"),
    Buffer.concat([clientFrame(opcode.binary, "x"), clientFrame(final | opcode.binary, "x")]),
    clientFrame(opcode.ping, "in parts"),
    clientFrame(final | opcode.ping, "x".repeat(126)),
  ];
  for (const bytes of wrong) {
    const { answers, ended } = await serve(bytes);
    expect(hex(answers)).toBe(
      hex(
        encodeFrame(
          opcode.close,
          Uint8Array.of(closeCode.protocolError >> 8, closeCode.protocolError & 0xff),
        ),
      ),
    );
    expect(ended).toBe(true);
  }
  const endless = Buffer.concat([Buffer.from([final | opcode.binary, 0xff]), Buffer.alloc(12, 0xff)]);
  expect((await serve(endless)).answers.readUInt16BE(2)).toBe(closeCode.tooBig);
});

test("the mask comes off wherever bytes lie in memory and in the frame", () => {
  const plain = Buffer.from("the quick brown fox jumps over the lazy dog");
  const slow = (bytes: Uint8Array, position: number) =>
    bytes.map((byte, index) => byte ^ key[(position + index) & 3]!);
  for (let offset = 0; offset < 5; offset++)
    for (let position = 0; position < 5; position++) {
      const memory = new Uint8Array(100);
      memory.set(plain, offset);
      const bytes = memory.subarray(offset, offset + plain.length);
      expect(unmask(bytes, key, position)).toEqual(slow(bytes, position));
    }
});

test("lengths are written as short as can be", () => {
  for (const [length, head] of [
    [125, 2],
    [126, 4],
    [65_535, 4],
    [65_536, 10],
  ] as const)
    expect(encodeFrame(opcode.binary, new Uint8Array(length)).length).toBe(head + length);
});
