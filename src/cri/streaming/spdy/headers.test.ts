import { expect, test } from "bun:test";
import { constants, createDeflate, createInflate } from "node:zlib";
import { dictionary, dictionaryId } from "./dictionary.ts";
import { HeaderDecoder, HeaderEncoder } from "./headers.ts";

/** Header blocks as a peer with zlib makes them: one stream, flushed after each. */
class ZlibPeer {
  readonly #deflate = createDeflate({ dictionary: dictionary(), level: 9 });
  readonly #inflate = createInflate({ dictionary: dictionary() });

  async compress(plain: Buffer): Promise<Buffer> {
    return await this.#through(this.#deflate, plain);
  }

  async uncompress(block: Buffer): Promise<Buffer> {
    return await this.#through(this.#inflate, block);
  }

  async #through(stream: ReturnType<typeof createDeflate> | ReturnType<typeof createInflate>, bytes: Buffer) {
    const parts: Buffer[] = [];
    const collect = (part: Buffer) => parts.push(part);
    stream.on("data", collect);
    stream.write(bytes);
    await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
    await new Promise<void>((resolve) => setImmediate(resolve));
    stream.off("data", collect);
    return Buffer.concat(parts);
  }
}

function block(headers: Record<string, string>): Buffer {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const entries = Object.entries(headers);
  return Buffer.concat([
    number(entries.length),
    ...entries.flatMap((pair) => pair.flatMap((text) => [number(text.length), Buffer.from(text)])),
  ]);
}

test("the dictionary is the one that the protocol names", () => {
  let [a, b] = [1, 0];
  for (const byte of dictionary()) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  expect(dictionary().length).toBe(1423);
  expect(b * 65536 + a).toBe(dictionaryId);
});

test("a thousand blocks of one zlib stream are read, far beyond its window", async () => {
  const peer = new ZlibPeer();
  const decoder = new HeaderDecoder();
  for (let index = 0; index < 1000; index++) {
    const headers = {
      streamtype: index % 2 ? "data" : "error",
      port: "80",
      requestid: `${index}-${"x".repeat(index % 90)}`,
    };
    const read = decoder.decode(await peer.compress(block(headers)));
    expect(Object.fromEntries(read)).toEqual(headers);
  }
});

test("what is written is a zlib stream to others", async () => {
  const peer = new ZlibPeer();
  const encoder = new HeaderEncoder();
  for (let index = 0; index < 50; index++) {
    const headers = { streamtype: "stdin", number: String(index) };
    const written = encoder.encode(new Map(Object.entries(headers)));
    expect(await peer.uncompress(written)).toEqual(block(headers));
  }
});

test("hostile blocks are refused", async () => {
  const compress = async (plain: Buffer) => new HeaderDecoder().decode(await new ZlibPeer().compress(plain));
  const refused = async (plain: Buffer) => {
    try {
      await compress(plain);
    } catch (error) {
      return (error as Error).message;
    }
    return "accepted";
  };
  expect(await refused(block({ a: "x".repeat(1 << 20) }))).toContain("invalid compressed header block");
  expect(
    await refused(block(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`h${i}`, ""])))),
  ).toContain("101 headers");
  expect(await refused(Buffer.from([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]))).toContain("cut short");
  expect(await refused(Buffer.from([0, 0, 0, 5]))).toContain("cut short");
  expect(await refused(block({ "": "x" }))).toContain("empty or repeated");
  for (const bytes of [[], [1, 2, 3], [0x78, 0x9c, 0, 0, 0, 0, 1], [0x78, 0xbb, 1, 2, 3, 4, 5]])
    expect(() => new HeaderDecoder().decode(Uint8Array.from(bytes))).toThrow();
});
