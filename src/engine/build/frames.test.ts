import { expect, test } from "bun:test";
import { encodeFrame, FrameReader, frameType } from "./frames.ts";

test("frames survive any cut of the stream", () => {
  const sent = [
    encodeFrame(frameType.status, 0, '{"a":1}'),
    encodeFrame(frameType.output, 3, new Uint8Array(70_000).fill(7)),
    encodeFrame(frameType.context, 255, ""),
  ];
  const stream = Buffer.concat(sent);
  for (const size of [1, 5, 6, 7, 4096, stream.length]) {
    const reader = new FrameReader();
    const seen = [];
    for (let at = 0; at < stream.length; at += size)
      for (const { type, channel, payload } of reader.push(stream.subarray(at, at + size)))
        seen.push([type, channel, payload.length]);
    expect(seen).toEqual([
      [frameType.status, 0, 7],
      [frameType.output, 3, 70_000],
      [frameType.context, 255, 0],
    ]);
  }
});

test("a frame that claims to be huge is refused", () => {
  const header = Buffer.from([1, 0, 0xff, 0xff, 0xff, 0xff]);
  expect(() => new FrameReader().push(header)).toThrow("too large");
});
