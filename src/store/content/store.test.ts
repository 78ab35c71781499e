import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../oci/digest.ts";
import { openContentStore } from "./store.ts";
import type { ContentStore } from "./types.ts";

let root: string;
let store: ContentStore;
const bytes = (text: string) => new TextEncoder().encode(text);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "corten-content-"));
  store = await openContentStore(root);
});
afterEach(async () => {
  await store.close();
  rmSync(root, { recursive: true });
});

async function put(text: string, ref = `put-${text}`): Promise<string> {
  const writer = await store.writer(ref);
  await writer.write(bytes(text));
  return await writer.commit();
}

test("a committed blob is named by its digest and nothing of the ingest is left", async () => {
  const digest = await put("hello");
  expect(digest).toBe(digestOf("hello"));
  expect((await store.info(digest)).size).toBe(5);
  expect(Buffer.from(await store.readAll(digest)).toString()).toBe("hello");
  expect(readdirSync(join(root, "ingest"))).toEqual([]);
  expect(statSync(store.path(digest)).mode & 0o777).toBe(0o444);
});

test("an ingest closed half way is resumed where it stopped", async () => {
  const first = await store.writer("layer", { total: 10 });
  await first.write(bytes("hello"));
  await first.close();
  expect(await store.status("layer")).toMatchObject({ ref: "layer", offset: 5, total: 10 });

  const reopened = await openContentStore(root);
  const second = await reopened.writer("layer", { total: 10, expected: digestOf("helloworld") });
  expect(second.offset).toBe(5);
  await second.write(bytes("world"));
  expect(await second.commit({ size: 10 })).toBe(digestOf("helloworld"));
});

test("a second writer of a ref is refused while the first is open", async () => {
  await using writer = await store.writer("busy");
  expect(writer.offset).toBe(0);
  await expect(store.writer("busy")).rejects.toThrow(/^ref busy locked for .*: unavailable$/);
  await writer.close();
  await (await store.writer("busy")).close();
});

test("a writer that may wait gets the ref when the first one closes", async () => {
  const first = await store.writer("busy");
  const second = store.writer("busy", { waitMilliseconds: 10_000 });
  await first.write(bytes("x"));
  await first.close();
  expect((await second).offset).toBe(1);
  await (await second).close();
});

test("wrong size and wrong digest fail the commit and keep the ingest", async () => {
  const first = await store.writer("r");
  await first.write(bytes("data"));
  await expect(first.commit({ size: 5 })).rejects.toThrow("unexpected commit size 4, expected 5");
  const second = await store.writer("r");
  expect(second.offset).toBe(4);
  await expect(second.commit({ expected: digestOf("other") })).rejects.toThrow("unexpected commit digest");
  expect(existsSync(store.path(digestOf("data")))).toBe(false);
  await store.abort("r");
  await expect(store.status("r")).rejects.toMatchObject({ code: "not_found" });
  await expect(store.abort("r")).rejects.toMatchObject({ code: "not_found" });
});

test("truncate drops the tail and hashes what remains", async () => {
  const writer = await store.writer("t");
  await writer.write(bytes("hello world"));
  await writer.truncate(5);
  expect(writer.digest()).toBe(digestOf("hello"));
  await writer.truncate(0);
  await writer.write(bytes("bye"));
  expect(await writer.commit()).toBe(digestOf("bye"));
});

test("content that is there is not written twice", async () => {
  const digest = await put("same");
  await expect(store.writer("again", { expected: digest })).rejects.toMatchObject({ code: "already_exists" });
  const writer = await store.writer("unaware");
  await writer.write(bytes("same"));
  await expect(writer.commit()).rejects.toMatchObject({ code: "already_exists" });
  expect(await store.statuses()).toEqual([]);
});

test("a reader serves ranges and outlives the deletion of its blob", async () => {
  const digest = await put("0123456789");
  const reader = await store.readerAt(digest);
  await store.delete(digest);
  await expect(store.info(digest)).rejects.toMatchObject({ code: "not_found" });
  await expect(store.delete(digest)).rejects.toMatchObject({ code: "not_found" });
  const into = new Uint8Array(4);
  expect(await reader.readAt(into, 8)).toBe(2);
  expect(await new Response(reader.stream(2, 3)).text()).toBe("234");
  await expect(reader.readAt(into, 0)).rejects.toThrow("closed");
});

test("walk visits every blob in the order of its digest", async () => {
  const digests = [await put("a"), await put("b"), await put("")];
  const seen: string[] = [];
  await store.walk((info) => void seen.push(info.digest));
  expect(seen).toEqual(digests.sort());
});

test("a digest that is none never becomes a path", async () => {
  await expect(store.info("sha256:../../etc/passwd")).rejects.toMatchObject({ code: "invalid_argument" });
});
