import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { decompress } from "./decompress.ts";

const compress = (data: Uint8Array, ...args: string[]): Buffer => {
  const { exitCode, stdout } = Bun.spawnSync(["bzip2", "-c", ...args], { stdin: data });
  expect(exitCode).toBe(0);
  return stdout;
};

async function* pieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function expand(data: Uint8Array, size = 65536): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of decompress(pieces(data, size), { any: true, what: "archive" })) parts.push(part);
  return Buffer.concat(parts);
}

const samples: Record<string, Uint8Array> = {
  nothing: Buffer.alloc(0),
  "one byte": Buffer.from("x"),
  "runs of every length": Buffer.concat(
    Array.from({ length: 300 }, (_, count) => Buffer.alloc(count, count % 7)),
  ),
  "one long run": Buffer.alloc(3_000_000, 0x61),
  noise: randomBytes(1_200_000),
  text: Buffer.from(Array.from({ length: 40_000 }, (_, n) => `line ${n} of ${n % 13}\n`).join("")),
};

for (const [name, data] of Object.entries(samples))
  test(`bzip2's output of ${name} is decoded`, async () => {
    expect((await expand(compress(data))).equals(data)).toBe(true);
    expect((await expand(compress(data, "-1"), 777)).equals(data)).toBe(true);
  });

test("streams one after the other are one", async () => {
  const both = Buffer.concat([compress(Buffer.from("one")), compress(Buffer.from("two"))]);
  expect((await expand(both, 1)).toString()).toBe("onetwo");
});

test("damage is told, wherever it is", async () => {
  const whole = compress(samples["text"]!.subarray(0, 20_000));
  for (let at = 4; at < whole.length; at += 37) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 0x10;
    const outcome = await expand(damaged).then(
      () => "decoded",
      (error: Error) => error.message,
    );
    expect(outcome).toStartWith("archive: the bzip2 data is damaged");
  }
  for (const length of [0, 3, 10, whole.length >> 1, whole.length - 1]) {
    const outcome = await expand(whole.subarray(0, length)).then(
      (data) => `${data.length} bytes`,
      () => "refused",
    );
    // Fewer than four bytes are no bzip2: they are taken as they are.
    expect(outcome).toBe(length < 4 ? `${length} bytes` : "refused");
  }
});
