/** A content store whose process is killed amid an ingest goes on where the file ends. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { openContentStore } from "../../src/store/index.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-content-crash-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Byte n of the blob, so that both processes know what comes where. */
const blob = Buffer.from(Array.from({ length: 3 << 20 }, (_, n) => (n * 31 + (n >> 8)) & 0xff));

const writer = `
  const { openContentStore } = await import(${JSON.stringify(join(import.meta.dir, "../../src/store/index.ts"))});
  const store = await openContentStore(process.argv[1]);
  const writer = await store.writer("layer", { total: 3 << 20 });
  const piece = new Uint8Array(10_000);
  for (;;) {
    for (let n = 0; n < piece.length; n++) {
      const at = writer.offset + n;
      piece[n] = (at * 31 + (at >> 8)) & 0xff;
    }
    await writer.write(piece);
    console.log(writer.offset);
    await new Promise((done) => setTimeout(done, 1));
  }
`;

/** Starts the writer, lets it write at least `bytes`, and kills it where it stands. */
async function writeAndKill(bytes: number): Promise<void> {
  const child = spawn(process.execPath, ["-e", writer, root], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => child.once("exit", done));
  await new Promise<void>((enough, fail) => {
    child.stdout.on("data", (text: Buffer) => {
      if (Number(text.toString().trim().split("\n").at(-1)) >= bytes) enough();
    });
    child.once("exit", () => fail(new Error("the writer ended by itself")));
  }).finally(() => child.kill("SIGKILL"));
  await ended;
}

test("after kill -9 an ingest is resumed and its blob committed", async () => {
  await writeAndKill(50_000);
  await writeAndKill(200_000);
  const store = await openContentStore(root);
  const [status] = await store.statuses();
  expect(status).toMatchObject({ ref: "layer", total: blob.length });
  expect(status!.offset).toBeGreaterThanOrEqual(200_000);
  const resumed = await store.writer("layer", { total: blob.length, expected: digestOf(blob) });
  expect(resumed.offset).toBe(status!.offset);
  expect(resumed.digest()).toBe(digestOf(blob.subarray(0, resumed.offset)));
  await resumed.write(blob.subarray(resumed.offset));
  expect(await resumed.commit({ size: blob.length })).toBe(digestOf(blob));
  expect(Buffer.from(await store.readAll(digestOf(blob))).equals(blob)).toBe(true);
  expect(readdirSync(join(root, "ingest"))).toEqual([]);
  await store.close();
});
