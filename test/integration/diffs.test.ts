/** Layers written from snapshots, and put back: apply(diff(A, B)) on A is B. Needs root. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import {
  applyLayer,
  type LayerTarget,
  openNative,
  openOverlayfs,
  type Snapshotter,
  writeDiff,
} from "../../src/store/index.ts";
import { withMounts } from "../../src/sys/mount.ts";
import { setXattrAt } from "../../src/sys/xattr.ts";
import { describeTree } from "../helpers/tree.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "corten-diffs-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function collect(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function fillLower(dir: string): void {
  const at = (name: string) => join(dir, name);
  for (const name of ["keep/deep", "gone/deep", "emptied", "remade", "renamed"])
    mkdirSync(at(name), { recursive: true });
  for (const name of [
    "keep/a",
    "keep/deep/b",
    "gone/x",
    "gone/deep/y",
    "emptied/1",
    "remade/old",
    "renamed/f",
    "modes",
  ])
    writeFileSync(at(name), `content of ${name}`);
  writeFileSync(at("linked1"), "linked");
  linkSync(at("linked1"), at("linked2"));
  linkSync(at("linked1"), at("keep/linked3"));
  writeFileSync(at("becomes-dir"), "file");
  mkdirSync(at("becomes-file"));
  writeFileSync(at("becomes-file/inside"), "x");
  symlinkSync("keep/a", at("symlink"));
  execFileSync("mkfifo", [at("pipe")]);
  execFileSync("mknod", [at("device"), "c", "1", "3"]);
}

function change(dir: string): void {
  const at = (name: string) => join(dir, name);
  appendFileSync(at("keep/a"), " and more");
  rmSync(at("gone"), { recursive: true });
  rmSync(at("emptied/1"));
  rmSync(at("remade"), { recursive: true });
  mkdirSync(at("remade"));
  writeFileSync(at("remade/new"), "new");
  // rename(2) of a directory is EXDEV on an overlay: mv copies then.
  execFileSync("mv", [at("renamed"), at("renamed-to")]);
  chmodSync(at("modes"), 0o4755);
  chownSync(at("modes"), 1234, 3_000_000);
  chmodSync(at("modes"), 0o4755);
  rmSync(at("becomes-dir"));
  mkdirSync(at("becomes-dir/with"), { recursive: true });
  writeFileSync(at("becomes-dir/with/file"), "f");
  rmSync(at("becomes-file"), { recursive: true });
  writeFileSync(at("becomes-file"), "now a file");
  rmSync(at("symlink"));
  symlinkSync(`keep/${"long".repeat(40)}`, at("symlink"));
  writeFileSync(at("new1"), Buffer.alloc(700_000, 7));
  linkSync(at("new1"), at("keep/new2"));
  const deep = `${"n".repeat(120)}/${"m".repeat(120)}`;
  mkdirSync(at(deep), { recursive: true });
  writeFileSync(at(`${deep}/ünïcode`), "u");
  execFileSync("mknod", [at("disk"), "b", "7", "300"]);
  execFileSync("mkfifo", [at("pipe2")]);
  utimesSync(at("keep/deep/b"), 1_000_000_000.5, 1_000_000_000.25);
  const fd = openSync(dir, "r");
  setXattrAt(fd, "new1", "user.test", Buffer.from([0, 10, 61, 255]));
  setXattrAt(fd, "keep/deep", "trusted.test", Buffer.from("d"));
  closeSync(fd);
  chmodSync(dir, 0o751);
}

async function prepared(snapshots: Snapshotter, lower: (dir: string) => void, upper: (dir: string) => void) {
  await withMounts(await snapshots.prepare("l", ""), lower);
  await snapshots.commit("lower", "l");
  const mounts = await snapshots.prepare("u", "lower");
  await withMounts(mounts, upper);
  return { lower: { mounts: await snapshots.view("v", "lower") }, upper: { mounts } };
}

describe.each([
  ["overlayfs", openOverlayfs],
  ["native", openNative],
] as const)("with %s", (name, open) => {
  let snapshots: Snapshotter;
  beforeEach(async () => {
    snapshots = await open(join(base, name));
  });
  afterEach(() => snapshots.close());

  const tree = (target: LayerTarget) =>
    "path" in target ? describeTree(target.path) : withMounts(target.mounts, describeTree);

  test.each(["none", "gzip", "zstd"] as const)(
    "the layer put on the same parent gives the same tree (%s)",
    async (compression) => {
      const { lower, upper } = await prepared(snapshots, fillLower, change);
      const { stream, result } = writeDiff(lower, upper, { compression });
      const layer = await collect(stream);
      const { diffId, size } = await result;

      for (const [again, opened] of [
        [await openOverlayfs(join(base, "again-overlay")), "overlay"],
        [await openNative(join(base, "again-native")), "native"],
      ] as const) {
        // The lower tree travels as a layer too.
        const whole = await collect(writeDiff(undefined, lower).stream);
        await applyLayer({ mounts: await again.prepare("l", "") }, pieces(whole), { where: "inline" });
        await again.commit("lower", "l");
        const target = { mounts: await again.prepare("u", "lower") };
        const applied = await applyLayer(target, pieces(layer), { where: "inline" });
        expect(applied).toMatchObject({ diffId, size });
        expect({ [opened]: await tree(target) }).toEqual({ [opened]: await tree(upper) });
        await again.close();
      }
    },
  );

  test("the same trees give the same bytes, and another tool reads them", async () => {
    const { lower, upper } = await prepared(snapshots, fillLower, change);
    const first = await collect(writeDiff(lower, upper).stream);
    expect(digestOf(await collect(writeDiff(lower, upper).stream))).toBe(digestOf(first));
    const names = execFileSync("tar", ["-tf", "-"], { input: first, encoding: "utf8" }).split("\n");
    expect(names).toContain(".wh.gone");
    expect(names).toContain("keep/a");
    expect(names.some((path) => path.startsWith("gone"))).toBe(false);
  });

  test("a snapshot in which nothing was done gives an empty layer", async () => {
    const { lower, upper } = await prepared(snapshots, fillLower, () => {});
    expect(await collect(writeDiff(lower, upper).stream)).toEqual(Buffer.alloc(1024));
  });

  test("times after the source date are clamped to it", async () => {
    const { lower, upper } = await prepared(snapshots, fillLower, (dir) =>
      writeFileSync(join(dir, "now"), ""),
    );
    const stream = writeDiff(lower, upper, { sourceDateEpoch: new Date(86_400_000) }).stream;
    const listing = execFileSync("tar", ["--utc", "-tvf", "-"], {
      input: await collect(stream),
      encoding: "utf8",
    });
    expect(listing).toMatch(/1970-01-02 00:00 now/);
  });
});

test("a diff that is not read to its end says so", async () => {
  const snapshots = await openNative(join(base, "native"));
  const { lower, upper } = await prepared(snapshots, fillLower, (dir) => {
    change(dir);
    // More than fits into all the buffers between the files and the first piece.
    writeFileSync(join(dir, "large"), randomBytes(16 << 20));
  });
  const { stream, result } = writeDiff(lower, upper, { compression: "gzip" });
  const reader = stream.getReader();
  await reader.read();
  await reader.cancel();
  expect(
    await result.then(
      () => "done",
      (error: Error) => error.message,
    ),
  ).toContain("not read to its end");
  await snapshots.close();
});

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
}
