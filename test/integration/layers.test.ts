/** Layers into directories and overlays: whiteouts, attributes, and every path trick we know. Needs root. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type EntryLike, tarOf } from "../../src/archive/tar/make.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { type ApplyOptions, applyLayer, type LayerTarget } from "../../src/store/index.ts";
import { withMounts } from "../../src/sys/mount.ts";
import { AT_FDCWD } from "../../src/sys/stat.ts";
import { listXattrsAt, setXattrAt } from "../../src/sys/xattr.ts";
import { corten, run } from "../helpers/engine.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "corten-layers-"));
  writeFileSync(join(base, "outside"), "untouched");
  mkdirSync(join(base, "outer"));
  for (const name of ["root", "lower", "upper", "work"]) mkdirSync(join(base, name));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const at = (...parts: string[]) => join(base, ...parts);
const plain = (): LayerTarget => ({ path: at("root") });
const overlay = (): LayerTarget => ({
  mounts: [
    {
      type: "overlay",
      source: "overlay",
      options: ["index=off", `workdir=${at("work")}`, `upperdir=${at("upper")}`, `lowerdir=${at("lower")}`],
    },
  ],
});

async function* bytes(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}
const apply = (target: LayerTarget, archive: Uint8Array, options: ApplyOptions = {}) =>
  applyLayer(target, bytes(archive), { where: "inline", ...options });
const put = (...entries: EntryLike[]) => apply(plain(), tarOf(...entries));
const merged = <T>(work: (dir: string) => T) => withMounts((overlay() as { mounts: never }).mounts, work);

function xattrsOf(dir: string, name: string): Record<string, string> {
  const fd = openSync(dir, "r");
  try {
    return Object.fromEntries(
      listXattrsAt(fd, name).map((x) => [x.name, Buffer.from(x.value).toString("latin1")]),
    );
  } finally {
    closeSync(fd);
  }
}

describe("what a layer says is what the directory has", () => {
  test("owners, modes, times, attributes and special files", async () => {
    const capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    await put(
      { path: "./", mode: 0o1711, uid: 5, gid: 6 },
      { path: "d/", mode: 0o2750, uid: 1, gid: 2, mtimeNs: 1_000_000_000_000_000_001n },
      {
        path: "d/f",
        data: "data",
        mode: 0o6755,
        uid: 1000,
        gid: 1001,
        mtimeNs: 1_600_000_000_123_456_789n,
        xattrs: { "user.a": "b", "security.capability": capability },
      },
      { path: "d/hard", type: "link", linkPath: "d/f" },
      { path: "d/soft", type: "symlink", linkPath: "../../outside", uid: 7, gid: 8 },
      { path: "d/null", type: "char", major: 1, minor: 3, mode: 0o666 },
      { path: "d/loop", type: "block", major: 7, minor: 300, mode: 0o660, gid: 6 },
      { path: "d/pipe", type: "fifo", mode: 0o622 },
    );
    const stat = (name: string) => lstatSync(at("root", name), { bigint: true });
    expect([stat("").uid, stat("").gid, stat("").mode & 0o7777n]).toEqual([5n, 6n, 0o1711n]);
    expect([stat("d").uid, stat("d").gid, stat("d").mode & 0o7777n]).toEqual([1n, 2n, 0o2750n]);
    expect(stat("d").mtimeNs).toBe(1_000_000_000_000_000_001n);
    expect([stat("d/f").uid, stat("d/f").gid, stat("d/f").mode & 0o7777n]).toEqual([1000n, 1001n, 0o6755n]);
    expect(stat("d/f").mtimeNs).toBe(1_600_000_000_123_456_789n);
    expect(stat("d/f").ino).toBe(stat("d/hard").ino);
    expect(readlinkSync(at("root/d/soft"))).toBe("../../outside");
    expect([stat("d/soft").uid, stat("d/soft").gid]).toEqual([7n, 8n]);
    expect(stat("d/null").rdev).toBe(0x103n);
    expect(stat("d/null").isCharacterDevice()).toBe(true);
    expect(stat("d/loop").rdev).toBe((7n << 8n) | (300n & 0xffn) | ((300n & ~0xffn) << 12n));
    expect(stat("d/pipe").isFIFO()).toBe(true);
    expect(stat("d/pipe").mode & 0o7777n).toBe(0o622n);
    expect(xattrsOf(at("root/d"), "f")).toEqual({ "user.a": "b", "security.capability": capability });
    expect(readFileSync(at("outside"), "utf8")).toBe("untouched");
  });

  test.each(["inline", "process"] as const)("gzip, zstd and plain give the same, %s", async (where) => {
    const archive = tarOf({ path: "f", data: "x".repeat(100_000) });
    for (const form of [archive, gzipSync(archive), zstdCompressSync(archive)]) {
      const applied = await apply(plain(), form, { where });
      expect(applied).toEqual({ diffId: digestOf(archive), size: archive.length, entries: 1 });
    }
    const file = at("layer.tar.gz");
    // Two gzip members, one after the other, are one stream (RFC 1952).
    writeFileSync(file, Buffer.concat([gzipSync(archive.subarray(0, 700)), gzipSync(archive.subarray(700))]));
    expect((await applyLayer(plain(), { path: file }, { where })).diffId).toBe(digestOf(archive));
    expect(readFileSync(at("root/f"), "utf8")).toBe("x".repeat(100_000));
  });

  test.each(["inline", "process"] as const)("damaged and cut off layers fail clearly, %s", async (where) => {
    const archive = tarOf({ path: "f", data: "x".repeat(100_000) });
    const zipped = gzipSync(archive);
    const broken = Buffer.from(zipped);
    broken[broken.length - 6]! ^= 0xff;
    const layers = [
      broken,
      zipped.subarray(0, 100),
      archive.subarray(0, 5000),
      Buffer.from("not a tar at all"),
    ];
    for (const layer of layers)
      await expect(apply(plain(), layer, { where })).rejects.toMatchObject({ code: "invalid_argument" });
    const wrong = apply(plain(), archive, { where, expectedDiffId: digestOf("other") });
    await expect(wrong).rejects.toThrow("expected sha256:");
    const tooLarge = apply(plain(), zipped, { where, limits: { maxSize: 50_000 } });
    await expect(tooLarge).rejects.toMatchObject({ code: "resource_exhausted" });
  });

  test("the executable itself unpacks and hashes a layer", async () => {
    const archive = tarOf({ path: "f", data: "x".repeat(3_000_000) });
    writeFileSync(at("layer.tar.gz"), gzipSync(archive));
    const request = { target: { root: at("root") }, path: at("layer.tar.gz") };
    const { code, stdout, stderr } = await run([...corten, "store-unpack", JSON.stringify(request)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      ok: { diffId: digestOf(archive), size: archive.length, entries: 1 },
    });
    expect(lstatSync(at("root/f")).size).toBe(3_000_000);
  });

  test("an abort ends the unpacking process", async () => {
    const abort = new AbortController();
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      yield tarOf({ path: "f", size: 2 ** 32 }).subarray(0, 512);
      for (let n = 0; ; n++) {
        yield new Uint8Array(1 << 16);
        if (n === 20) abort.abort();
        await new Promise((done) => setImmediate(done));
      }
    };
    const running = applyLayer(plain(), endless(), { where: "process", signal: abort.signal });
    // Not `expect().rejects`: Bun turns its event loop inside of that, and this source depends on the loop.
    const outcome = await running.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(outcome).toMatchObject({ code: "canceled" });
  });

  test("an archive GNU tar made is unpacked as GNU tar unpacks it", async () => {
    const from = at("from");
    mkdirSync(join(from, "a".repeat(200), "b"), { recursive: true });
    writeFileSync(join(from, "a".repeat(200), "b", "deep"), "deep");
    writeFileSync(join(from, Buffer.from([0x66, 0xff, 0xfe]).toString("latin1")), "x");
    execFileSync("touch", [Buffer.from("\xff\xfe").toString("latin1")], { cwd: from });
    symlinkSync("x".repeat(150), join(from, "long-link"));
    execFileSync("mknod", [join(from, "dev"), "c", "5", "1"]);
    execFileSync("chown", ["3000000:4000000", join(from, "long-link"), "-h"]);
    chmodSync(join(from, "dev"), 0o4711);
    for (const format of ["gnu", "pax", "ustar"]) {
      // ustar cannot hold the long names: what it can is compared.
      const skip = format === "ustar" ? ["--exclude=long-link", `--exclude=${"a".repeat(200)}`] : [];
      execFileSync("tar", ["-C", from, `--format=${format}`, ...skip, "-cf", at("t.tar"), "."]);
      for (const name of ["ours", "theirs"]) mkdirSync(at(format, name), { recursive: true });
      execFileSync("tar", ["-C", at(format, "theirs"), "-xpf", at("t.tar")]);
      await applyLayer({ path: at(format, "ours") }, { path: at("t.tar") }, { where: "inline" });
      const list = (dir: string) =>
        execFileSync("find", [".", "-printf", "%P %y %m %U %G %s %T@ %l\\n"], {
          cwd: dir,
          encoding: "latin1",
        })
          .split("\n")
          .map((line) => line.replace(/(\.\d{9})\d/, "$1"))
          .sort();
      expect(list(at(format, "ours"))).toEqual(list(at(format, "theirs")));
    }
  });
});

describe("what is there already", () => {
  test("directories are merged, everything else is replaced", async () => {
    await put({ path: "d/", mode: 0o700 }, { path: "d/keep", data: "1" }, { path: "f", data: "old" });
    await put({ path: "d/", mode: 0o755 }, { path: "f/" }, { path: "f/inside", data: "2" });
    expect(readdirSync(at("root")).sort()).toEqual(["d", "f"]);
    expect(readdirSync(at("root/d"))).toEqual(["keep"]);
    expect(lstatSync(at("root/d")).mode & 0o777).toBe(0o755);
    await put({ path: "f", data: "file again" }, { path: "d", type: "symlink", linkPath: "f" });
    expect(readFileSync(at("root/f"), "utf8")).toBe("file again");
    expect(readlinkSync(at("root/d"))).toBe("f");
  });

  test("a replaced symlink is replaced itself, not what it leads to", async () => {
    symlinkSync(at("outside"), at("root/f"));
    await put({ path: "f", data: "mine", mode: 0o600 });
    expect(lstatSync(at("root/f")).isFile()).toBe(true);
    expect(readFileSync(at("outside"), "utf8")).toBe("untouched");
    expect(lstatSync(at("outside")).mode & 0o777).not.toBe(0o600);
  });

  test("an entry later in the layer wins over an earlier one, hard links follow the name", async () => {
    await put({ path: "f", data: "1" }, { path: "g", type: "link", linkPath: "f" }, { path: "f", data: "2" });
    expect([readFileSync(at("root/f"), "utf8"), readFileSync(at("root/g"), "utf8")]).toEqual(["2", "1"]);
    await put({ path: "g", type: "link", linkPath: "g" });
    expect(readFileSync(at("root/g"), "utf8")).toBe("1");
  });
});

describe("whiteouts on a plain directory", () => {
  beforeEach(() => put({ path: "d/a", data: "a" }, { path: "d/sub/b", data: "b" }, { path: "f", data: "f" }));

  test("remove a file or a tree of an earlier layer", async () => {
    await put({ path: "d/.wh.sub" }, { path: ".wh.f" }, { path: ".wh.missing" }, { path: "no/where/.wh.x" });
    expect(readdirSync(at("root"))).toEqual(["d"]);
    expect(readdirSync(at("root/d"))).toEqual(["a"]);
  });

  test("opaque empties a directory of all but what this layer brings", async () => {
    await put(
      { path: "d/" },
      { path: "d/new", data: "n" },
      { path: "d/sub/mine", data: "m" },
      { path: "d/.wh..wh..opq" },
    );
    expect(readdirSync(at("root/d")).sort()).toEqual(["new", "sub"]);
    expect(readdirSync(at("root/d/sub"))).toEqual(["mine"]);
  });

  test("never concern what the same layer brings", async () => {
    await put(
      { path: "f", data: "new" },
      { path: ".wh.f" },
      { path: "d/sub/x", data: "x" },
      { path: "d/.wh.sub" },
    );
    expect(readFileSync(at("root/f"), "utf8")).toBe("new");
    expect(readdirSync(at("root/d/sub"))).toEqual(["x"]);
  });

  test("of the root or of no name are refused, AUFS leftovers ignored", async () => {
    for (const path of [".wh.", ".wh..", "d/.wh...", "x/.wh."])
      await expect(put({ path })).rejects.toThrow("does not name a file");
    await put(
      { path: ".wh..wh.plnk/", mode: 0o700 },
      { path: ".wh..wh.plnk/1.2", data: "x" },
      { path: ".wh..wh.aufs" },
    );
    expect(readdirSync(at("root")).sort()).toEqual(["d", "f"]);
  });
});

describe("whiteouts on an overlay", () => {
  beforeEach(async () => {
    await apply(
      { path: at("lower") },
      tarOf(
        { path: "d/", mode: 0o2711, uid: 3 },
        { path: "d/a", data: "a" },
        { path: "d/b", data: "b" },
        { path: "usr/lib/" },
        { path: "lib", type: "symlink", linkPath: "usr/lib" },
        { path: "f", data: "f", mode: 0o4755 },
      ),
    );
  });

  test("become overlay's own and hide what is below", async () => {
    await apply(overlay(), tarOf({ path: "d/.wh.a" }, { path: ".wh.f" }));
    expect(lstatSync(at("upper/f")).isCharacterDevice()).toBe(true);
    expect(lstatSync(at("upper/f")).rdev).toBe(0);
    await merged((dir) => {
      expect(readdirSync(dir).sort()).toEqual(["d", "lib", "usr"]);
      expect(readdirSync(join(dir, "d"))).toEqual(["b"]);
    });
  });

  test("opaque becomes the attribute", async () => {
    await apply(overlay(), tarOf({ path: "d/" }, { path: "d/new" }, { path: "d/.wh..wh..opq" }));
    expect(xattrsOf(at("upper"), "d")["trusted.overlay.opaque"]).toBe("y");
    expect(await merged((dir) => readdirSync(join(dir, "d")))).toEqual(["new"]);
  });

  test("a directory removed and made anew in one layer shows nothing of the old, in either order", async () => {
    await apply(overlay(), tarOf({ path: ".wh.d" }, { path: "d/" }, { path: "d/new" }));
    expect(await merged((dir) => readdirSync(join(dir, "d")))).toEqual(["new"]);
    await apply(overlay(), tarOf({ path: "usr/" }, { path: "usr/new" }, { path: ".wh.usr" }));
    expect(await merged((dir) => readdirSync(join(dir, "usr")))).toEqual(["new"]);
  });

  test("parents the layer does not name keep the attributes they have below", async () => {
    await apply(overlay(), tarOf({ path: "d/new", data: "n" }));
    const stat = lstatSync(at("upper/d"));
    expect([stat.uid, stat.mode & 0o7777]).toEqual([3, 0o2711]);
    expect((await merged((dir) => readdirSync(join(dir, "d")))).sort()).toEqual(["a", "b", "new"]);
  });

  test("a parent that is a symlink below is followed, not hidden", async () => {
    await apply(overlay(), tarOf({ path: "lib/libx.so", data: "x" }));
    await merged((dir) => {
      expect(lstatSync(join(dir, "lib")).isSymbolicLink()).toBe(true);
      expect(readFileSync(join(dir, "usr/lib/libx.so"), "utf8")).toBe("x");
    });
  });

  test("a hard link to a file of a lower layer copies it up", async () => {
    await apply(overlay(), tarOf({ path: "g", type: "link", linkPath: "f" }));
    expect(await merged((dir) => readFileSync(join(dir, "g"), "utf8"))).toBe("f");
    expect(lstatSync(at("upper/g")).mode & 0o7777).toBe(0o4755);
  });

  test("attributes that steer the overlay are not taken from a layer", async () => {
    const xattrs = { "trusted.overlay.redirect": "/secret", "user.ok": "1" };
    await apply(overlay(), tarOf({ path: "evil/", xattrs }));
    expect(xattrsOf(at("upper"), "evil")).toEqual({ "user.ok": "1" });
  });
});

describe("path tricks stay inside", () => {
  const nothingOutside = () => {
    expect(readFileSync(at("outside"), "utf8")).toBe("untouched");
    expect(lstatSync(at("outside")).nlink).toBe(1);
    expect(readdirSync(at("outer"))).toEqual([]);
    expect(readdirSync(base).sort()).toEqual(["lower", "outer", "outside", "root", "upper", "work"]);
  };
  afterEach(nothingOutside);

  test.each(["../x", "a/../../x", "/../x", "./../x", "a/b/../../../x", ".."])(
    "an entry named %s is refused",
    async (path) => {
      await expect(put({ path, data: "x" })).rejects.toThrow("leads out of the layer");
    },
  );

  test("absolute names are taken from the root, dots inside are resolved", async () => {
    await put(
      { path: "/etc/passwd", data: "mine" },
      { path: "a/./b/../c", data: "c" },
      { path: "//x//y", data: "y" },
    );
    expect(readFileSync(at("root/etc/passwd"), "utf8")).toBe("mine");
    expect(readFileSync(at("root/a/c"), "utf8")).toBe("c");
    expect(readFileSync(at("root/x/y"), "utf8")).toBe("y");
  });

  test.each(["absolute", "relative", "chain"])(
    "a parent swapped for a symlink (%s) leads nowhere outside",
    async (kind) => {
      const target = kind === "absolute" ? at("outer") : "../outer";
      const links: EntryLike[] =
        kind === "chain"
          ? [
              { path: "one", type: "symlink", linkPath: ".." },
              { path: "two", type: "symlink", linkPath: "one/.." },
              { path: "d", type: "symlink", linkPath: "two/../outer" },
            ]
          : [{ path: "d", type: "symlink", linkPath: target }];
      await put({ path: "d/" }, { path: "d/first", data: "1" }, ...links, { path: "d/second", data: "2" });
      expect(existsSync(at("outer/second"))).toBe(false);
    },
  );

  test("a symlink to / as parent leads to the root of the layer", async () => {
    await put({ path: "l", type: "symlink", linkPath: "/" }, { path: "l/f", data: "in" });
    expect(readFileSync(at("root/f"), "utf8")).toBe("in");
  });

  test("symlinks that lead to each other end with a clear error", async () => {
    const loop = put(
      { path: "a", type: "symlink", linkPath: "b" },
      { path: "b", type: "symlink", linkPath: "a" },
      { path: "a/f", data: "x" },
    );
    await expect(loop).rejects.toThrow("too many levels of symbolic links");
  });

  test("hard links to the outside are refused, through symlinks too", async () => {
    await expect(put({ path: "h", type: "link", linkPath: "../outside" })).rejects.toThrow("leads out");
    for (const linkPath of [at("outside"), "l/outside"])
      await expect(
        put({ path: "l", type: "symlink", linkPath: ".." }, { path: "h", type: "link", linkPath }),
      ).rejects.toThrow("which does not exist");
    await expect(put({ path: "h", type: "link", linkPath: "/" })).rejects.toThrow("hard link to the root");
  });

  test("a hard link to a symlink links the symlink, and writing to its name replaces it", async () => {
    await put(
      { path: "s", type: "symlink", linkPath: at("outside") },
      { path: "h", type: "link", linkPath: "s" },
      { path: "h", data: "overwritten", mode: 0o777 },
    );
    expect(lstatSync(at("root/h")).isFile()).toBe(true);
    expect(lstatSync(at("outside")).mode & 0o777).not.toBe(0o777);
  });

  test("whiteouts and opaque marks through symlinks remove nothing outside", async () => {
    writeFileSync(at("outer/file"), "x");
    await put(
      { path: "l", type: "symlink", linkPath: at("outer") },
      { path: "m", type: "symlink", linkPath: "../outer" },
      { path: "l/.wh.file" },
      { path: "m/.wh.file" },
      { path: "l/.wh..wh..opq" },
      { path: "m/.wh..wh..opq" },
    );
    expect(existsSync(at("outer/file"))).toBe(true);
    rmSync(at("outer/file"));
  });

  test("attributes and times of a directory entry do not follow a symlink put in its place", async () => {
    const before = lstatSync(at("outer")).mtimeMs;
    await put({ path: "d/", mtimeNs: 5n }, { path: "d", type: "symlink", linkPath: "../outer" });
    expect(lstatSync(at("outer")).mtimeMs).toBe(before);
  });

  test("names too long for the file system fail with their errno", async () => {
    await expect(put({ path: "n".repeat(300), data: "x" })).rejects.toThrow(/name too long|ENAMETOOLONG/);
  });

  test("the root itself cannot be replaced", async () => {
    await expect(put({ path: "./", type: "file" })).resolves.toBeDefined();
    await expect(put({ path: "/", type: "symlink", linkPath: "x" })).rejects.toThrow("replace the root");
  });

  test("magic links of /proc in a root are not followed", async () => {
    const fd = openSync(at("outer"), "r");
    try {
      symlinkSync(`/proc/self/fd/${fd}`, at("root/p"));
      await put({ path: "p/x", data: "x" });
    } finally {
      closeSync(fd);
    }
  });
});

test("setXattrAt sets what listXattrsAt lists, on symlinks as well", () => {
  symlinkSync("nowhere", at("s"));
  const fd = openSync(base, "r");
  try {
    setXattrAt(fd, "s", "trusted.x", Buffer.from("v"));
    expect(xattrsOf(base, "s")).toEqual({ "trusted.x": "v" });
    expect(AT_FDCWD).toBe(-100);
  } finally {
    closeSync(fd);
  }
});

test("mutated layers put nothing outside of the root, and fail clearly or not at all", async () => {
  const original = tarOf(
    { path: "d/" },
    { path: "d/f", data: "hello" },
    { path: "l", type: "symlink", linkPath: "../outer" },
    { path: "l/x", data: "through" },
    { path: "h", type: "link", linkPath: "d/f" },
    { path: "d/.wh.f" },
    { path: "d/.wh..wh..opq" },
    { path: "../up", type: "symlink", linkPath: "d" },
  );
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const interesting = Buffer.from("./\0l.dh~wopq0123456xgLK");
  for (let round = 0; round < 400; round++) {
    const mutant = Buffer.from(original);
    for (let n = random(4); n >= 0; n--) {
      const header = 512 * random(original.length / 512);
      // Where names, types and link targets are.
      const field = [0, 1, 2, 124, 156, 157, 158, 345][random(8)]! + random(3);
      mutant[header + field] = interesting[random(interesting.length)]!;
      const block = mutant.subarray(header, header + 512);
      block.write("        ", 148);
      let sum = 0;
      for (const byte of block) sum += byte;
      block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    }
    const target = round % 2 ? overlay() : plain();
    const outcome = await apply(target, mutant).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (outcome !== undefined) expect(outcome).toHaveProperty("code");
    if (outcome !== undefined) expect((outcome as Error).message).not.toContain("undefined");
  }
  expect(readFileSync(at("outside"), "utf8")).toBe("untouched");
  expect(readdirSync(at("outer"))).toEqual([]);
  expect(readdirSync(base).sort()).toEqual(["lower", "outer", "outside", "root", "upper", "work"]);
  expect(readdirSync(at("lower"))).toEqual([]);
});
