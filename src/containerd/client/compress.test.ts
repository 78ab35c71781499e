import { expect, test } from "bun:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { compress, layerType } from "./compress.ts";

/** Text that repeats itself from afar, and does not in between. */
const sample = (size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at++) bytes[at] = (at * 2654435761) >>> (24 - (at & 7));
  return bytes;
};

async function pack(data: Buffer, piece: number, choice: Parameters<typeof compress>[1]): Promise<Buffer> {
  async function* pieces() {
    for (let at = 0; at < data.length; at += piece) yield data.subarray(at, at + piece);
  }
  const parts: Uint8Array[] = [];
  for await (const part of compress(pieces(), choice)) parts.push(part);
  return Buffer.concat(parts);
}

const mebibyte = 1 << 20;

for (const size of [0, 1, mebibyte - 1, mebibyte, mebibyte + 1, 3 * mebibyte + 12_345])
  test(`gzip of ${size} bytes is one member that anybody reads, the same however the bytes come`, async () => {
    const data = sample(size);
    const packed = await pack(data, 70_001, { compression: "gzip" });
    expect(gunzipSync(packed).equals(data)).toBe(true);
    const { exitCode, stdout } = Bun.spawnSync(["gzip", "-dc"], { stdin: packed });
    expect(exitCode).toBe(0);
    expect(Buffer.from(stdout).equals(data)).toBe(true);
    expect((await pack(data, 2 * mebibyte, { compression: "gzip" })).equals(packed)).toBe(true);
    expect(packed.subarray(0, 10).toString("hex")).toBe("1f8b08000000000000ff");
  });

test("blocks refer to what is before them: a repetition across a border costs nothing", async () => {
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(16 << 10)));
  const filler = Buffer.alloc(mebibyte - random.length);
  const once = await pack(Buffer.concat([filler, random]), mebibyte, { compression: "gzip" });
  const twice = await pack(Buffer.concat([filler, random, random]), mebibyte, { compression: "gzip" });
  expect(twice.length - once.length).toBeLessThan(1000);
});

test("levels and zstd", async () => {
  const data = sample(300_000);
  const [fast, best] = await Promise.all(
    [1, 9].map((level) => pack(data, 4096, { compression: "gzip", level })),
  );
  expect(best!.length).toBeLessThanOrEqual(fast!.length);
  expect(gunzipSync(best!).equals(data)).toBe(true);
  expect(zstdDecompressSync(await pack(data, 4096, { compression: "zstd", level: 3 })).equals(data)).toBe(
    true,
  );
  expect((await pack(data, 4096, { compression: "none" })).equals(data)).toBe(true);
  expect(layerType("zstd", false)).toBe("application/vnd.oci.image.layer.v1.tar+zstd");
});

test("a source that fails ends the stream with its error", async () => {
  async function* broken() {
    yield sample(3 * mebibyte);
    throw new Error("the disk is gone");
  }
  let message = "";
  try {
    for await (const _ of compress(broken(), { compression: "gzip" }));
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toBe("the disk is gone");
});
