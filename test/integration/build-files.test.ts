import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { tarOf } from "../../src/archive/tar/make.ts";
import { FileDigests } from "../../src/build/files/digest.ts";
import { filesExecutor, mergeExecutor, openFileHashes } from "../../src/build/files/index.ts";
import { Turns } from "../../src/build/files/turns.ts";
import type { FileAction, FilesOperation } from "../../src/build/graph.ts";
import type { FileHashes, Result } from "../../src/build/types.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { cString } from "../../src/sys/directory.ts";
import { statManyAt } from "../../src/sys/stat.ts";
import { getXattrAt, setXattrAt } from "../../src/sys/xattr.ts";
import { type BuildBench, type Layers, openBuildBench } from "../helpers/build-files.ts";
import { until } from "../helpers/engine.ts";

setDefaultTimeout(240_000);

let bench: BuildBench;
let number = 0;
beforeAll(async () => {
  bench = await openBuildBench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

type Copy = Extract<FileAction, { action: "copy" }>;

/** A directory as a client's context, with the files given: content, or `-> target` for a link. */
function context(files: Record<string, string>, more: { exclude?: string[]; hashes?: FileHashes } = {}) {
  const path = join(bench.root, `context-${number++}`);
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    if (content.startsWith("-> ")) symlinkSync(content.slice(3), join(path, name));
    else if (name.endsWith("/")) mkdirSync(join(path, name), { recursive: true });
    else writeFileSync(join(path, name), content);
  }
  const result: Result = {
    kind: "directory",
    key: `sha256:${"0".repeat(64)}`,
    path,
    exclude: more.exclude ?? [],
    ...(more.hashes ? { hashes: more.hashes } : {}),
  };
  return result as Extract<Result, { kind: "directory" }>;
}

const copyOf = (input: number, sources: string[], destination: string, more: Partial<Copy> = {}): Copy => ({
  action: "copy",
  input,
  sources,
  destination,
  followLinks: true,
  ...more,
});

/** COPY from a context onto scratch, or onto `base`. */
function copy(from: Result, sources: string[], destination: string, more: Partial<Copy> = {}, base?: Layers) {
  const operation: FilesOperation = base
    ? { kind: "files", base: 0, actions: [copyOf(1, sources, destination, more)] }
    : { kind: "files", actions: [copyOf(0, sources, destination, more)] };
  return bench.run(filesExecutor, operation, base ? [base, from] : [from]);
}

function keyFor(from: Result, sources: string[], destination: string, more: Partial<Copy> = {}) {
  return bench.key(filesExecutor, { kind: "files", actions: [copyOf(0, sources, destination, more)] }, [
    from,
  ]);
}

/** Paths, with `/` behind directories, and links with their targets. */
const listing = (path: string): string[] =>
  execFileSync("find", [".", "-mindepth", "1", "-printf", "%P%y %l\\n"], { cwd: path, encoding: "utf8" })
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [, name, type, target] = /^(.*)(\w) (.*)$/.exec(line)!;
      return type === "d" ? `${name}/` : type === "l" ? `${name} -> ${target}` : name!;
    })
    .sort();

const shown = (result: Layers) => bench.view(result, listing);
function inParent<T>(path: string, work: (fd: number, name: string) => T): T {
  const fd = openSync(dirname(path), "r");
  try {
    return work(fd, basename(path));
  } finally {
    closeSync(fd);
  }
}
const setAttribute = (path: string, name: string, value: string) =>
  inParent(path, (fd, entry) => setXattrAt(fd, entry, name, Buffer.from(value)));
const attribute = (path: string, name: string) =>
  inParent(path, (fd, entry) => Buffer.from(getXattrAt(fd, entry, name) ?? []).toString());
const rejection = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: Error) => error.message,
  );

describe("what is copied where", () => {
  const files = { "a.txt": "a", "b.txt": "b", "dir/x": "x", "dir/sub/y": "y", "dir/link": "-> x" };

  test("a file under a new name, and into a directory", async () => {
    expect(await shown(await copy(context(files), ["a.txt"], "/new/name"))).toEqual(["new/", "new/name"]);
    expect(await shown(await copy(context(files), ["a.txt"], "/new/"))).toEqual(["new/", "new/a.txt"]);
    expect(await shown(await copy(context(files), ["/a.txt"], "/"))).toEqual(["a.txt"]);
    const base = await copy(context({ "d/keep": "" }), ["."], "/");
    expect(await shown(await copy(context(files), ["a.txt"], "/d", {}, base))).toEqual([
      "d/",
      "d/a.txt",
      "d/keep",
    ]);
  });

  test("of a directory its contents, with or without a slash", async () => {
    const expected = ["o/", "o/link -> x", "o/sub/", "o/sub/y", "o/x"];
    expect(await shown(await copy(context(files), ["dir"], "/o"))).toEqual(expected);
    expect(await shown(await copy(context(files), ["dir/"], "/o/"))).toEqual(expected);
    expect(await shown(await copy(context(files), ["."], "/all/"))).toHaveLength(8);
  });

  test("wildcards choose names of one level, and of directories their contents", async () => {
    expect(await shown(await copy(context(files), ["*.txt"], "/o/"))).toEqual(["o/", "o/a.txt", "o/b.txt"]);
    expect(await shown(await copy(context(files), ["d*"], "/o/"))).toEqual([
      "o/",
      "o/link -> x",
      "o/sub/",
      "o/sub/y",
      "o/x",
    ]);
    expect(await shown(await copy(context(files), ["*/s?b/[x-z]"], "/o/"))).toEqual(["o/", "o/y"]);
    expect(await shown(await copy(context(files), ["none*"], "/o/"))).toEqual([]);
  });

  test("what is missing is named as BuildKit does", async () => {
    expect(await rejection(copy(context(files), ["nope"], "/"))).toMatch(
      /^failed to compute cache key: failed to calculate checksum of ref \w+: "\/nope": not found$/,
    );
    expect(await rejection(copy(context(files), ["a.txt/below"], "/"))).toContain(
      '"/a.txt/below": not found',
    );
    expect(await rejection(copy(context(files), ["[a"], "/"))).toContain("syntax error in pattern");
  });

  test("names that are no UTF-8 keep their bytes", async () => {
    const from = context({});
    const odd = Buffer.concat([Buffer.from(`${from.path}/`), Buffer.from([0x66, 0xff, 0xfe])]);
    writeFileSync(odd, "odd");
    await bench.view(await copy(from, ["."], "/"), (path) => {
      expect(readdirSync(Buffer.from(path), "buffer")[0]?.toString("hex")).toBe("66fffe");
    });
  });

  test(".dockerignore hides files, except those taken back", async () => {
    const from = context(
      { "a.md": "", "doc/a.md": "", "doc/keep/b.md": "", "src/c": "", "src/d.o": "" },
      { exclude: ["doc", "!doc/keep", "**/*.o", "a.md"] },
    );
    expect(await shown(await copy(from, ["."], "/"))).toEqual([
      "doc/",
      "doc/keep/",
      "doc/keep/b.md",
      "src/",
      "src/c",
    ]);
    expect(await rejection(copy(from, ["a.md"], "/"))).toContain('"/a.md": not found');
    expect(await shown(await copy(from, ["doc"], "/"))).toEqual(["keep/", "keep/b.md"]);
    expect(await shown(await copy(from, ["*"], "/o/"))).toEqual(["o/", "o/c", "o/keep/", "o/keep/b.md"]);
  });

  test("--exclude leaves out what is below the sources", async () => {
    const from = context({ "d/a.txt": "", "d/b.md": "", "d/s/c.md": "", "e.md": "" });
    expect(await shown(await copy(from, ["d"], "/o", { exclude: ["*.md"] }))).toEqual([
      "o/",
      "o/a.txt",
      "o/s/",
      "o/s/c.md",
    ]);
    expect(await shown(await copy(from, ["d", "e*"], "/o/", { exclude: ["**/*.md"] }))).toEqual([
      "o/",
      "o/a.txt",
      "o/s/",
    ]);
  });

  test("--parents keeps directories, from the pivot on", async () => {
    const from = context({ "x/a/1.txt": "", "x/b/2.txt": "", "x/b/3.md": "", "y/z": "" });
    expect(await shown(await copy(from, ["x/a/1.txt", "y"], "/o/", { parents: true }))).toEqual([
      "o/",
      "o/x/",
      "o/x/a/",
      "o/x/a/1.txt",
      "o/y/",
      "o/y/z",
    ]);
    expect(await shown(await copy(from, ["/x/./*/*.txt"], "/o/", { parents: true }))).toEqual([
      "o/",
      "o/a/",
      "o/a/1.txt",
      "o/b/",
      "o/b/2.txt",
    ]);
    expect(await rejection(copy(from, ["x/./nope/1"], "/o/", { parents: true }))).toContain(
      '"/x/nope/1": not found',
    );
  });

  test("mkdir and mkfile", async () => {
    const made = await bench.run(filesExecutor, {
      kind: "files",
      actions: [
        { action: "mkdir", path: "/a/b", mode: 0o750, parents: true, owner: { user: "7", group: "8" } },
        { action: "mkfile", path: "/a/b/f", content: "text\n", mode: 0o640 },
      ],
    });
    await bench.view(made, (path) => {
      expect(statSync(join(path, "a/b"))).toMatchObject({ mode: 0o40750, uid: 7, gid: 8 });
      expect(statSync(join(path, "a/b/f"))).toMatchObject({ mode: 0o100640, uid: 0, gid: 0 });
      expect(readFileSync(join(path, "a/b/f"), "utf8")).toBe("text\n");
    });
  });
});

describe("links", () => {
  test("a link named as source is followed within the context, others stay links", async () => {
    const from = context({ "real/f": "1", link: "-> real", abs: "-> /real/f", "real/in": "-> /etc/passwd" });
    expect(await shown(await copy(from, ["link"], "/o"))).toEqual(["o/", "o/f", "o/in -> /etc/passwd"]);
    await bench.view(await copy(from, ["abs"], "/"), (path) => {
      expect(lstatSync(join(path, "abs")).isFile()).toBe(true);
      expect(readFileSync(join(path, "abs"), "utf8")).toBe("1");
    });
    expect(await shown(await copy(from, ["link/f"], "/"))).toEqual(["f"]);
    expect(await shown(await copy(from, ["l*"], "/o/"))).toEqual(["o/", "o/f", "o/in -> /etc/passwd"]);
  });

  test("a link out of the context leads nowhere", async () => {
    const from = context({ up: "-> ../../../../etc/passwd", root: "-> /etc/passwd", self: "-> self" });
    for (const name of ["up", "root", "self"])
      expect(await rejection(copy(from, [name], "/"))).toContain(": not found");
    expect(await rejection(copy(from, ["../../../etc/passwd"], "/"))).toContain('"/etc/passwd": not found');
  });

  test("links of the destination are followed within the rootfs, never out of it", async () => {
    const outside = join(bench.root, "outside");
    mkdirSync(outside, { recursive: true });
    const base = await copy(
      context({
        "usr/lib/keep": "",
        lib: "-> usr/lib",
        abs: "-> /usr/lib",
        out: `-> ${outside}`,
        up: `-> ../../../..${outside}`,
        "file-link": "-> usr/lib/keep",
        dangling: "-> /made/later",
      }),
      ["."],
      "/",
    );
    const from = context({ f: "new" });
    for (const name of ["lib", "abs"])
      expect(await shown(await copy(from, ["f"], `/${name}/`, {}, base))).toContain("usr/lib/f");
    for (const name of ["out", "up"]) {
      const listed = await shown(await copy(from, ["f"], `/${name}/`, {}, base));
      expect(listed).toContain(`${outside.slice(1)}/f`);
      expect(readdirSync(outside)).toEqual([]);
    }
    await bench.view(await copy(from, ["f"], "/file-link", {}, base), (path) => {
      expect(readlinkSync(join(path, "file-link"))).toBe("usr/lib/keep");
      expect(readFileSync(join(path, "usr/lib/keep"), "utf8")).toBe("new");
    });
    expect(await shown(await copy(from, ["f"], "/dangling", {}, base))).toContain("made/later");
  });

  test("a link below a copied directory is replaced, a directory is not", async () => {
    const base = await copy(context({ "d/l": "-> /etc", "d/k/x": "" }), ["."], "/");
    const listed = await shown(await copy(context({ "d/l": "file" }), ["."], "/", {}, base));
    expect(listed).toEqual(["d/", "d/k/", "d/k/x", "d/l"]);
    expect(await rejection(copy(context({ "d/k": "file" }), ["."], "/", {}, base))).toBe(
      "cannot replace to directory /d/k with file",
    );
    expect(await rejection(copy(context({ "d/l/x": "file" }), ["."], "/", {}, base))).toBe(
      "cannot copy to non-directory: /d/l",
    );
    expect(await rejection(copy(context({ x: "" }), ["x"], "/d/k/x/", {}, base))).toContain(
      "not a directory",
    );
  });
});

describe("attributes", () => {
  test("modes and times are kept, owners of a context are root's", async () => {
    const from = context({ "d/f": "x", "d/s": "y" });
    chmodSync(join(from.path, "d/f"), 0o4751);
    chmodSync(join(from.path, "d"), 0o2770);
    chownSync(join(from.path, "d/s"), 1234, 1234);
    for (const name of ["d/f", "d"]) utimesSync(join(from.path, name), 1, 1234567);
    await bench.view(await copy(from, ["."], "/new/"), (path) => {
      expect(statSync(join(path, "new/d/f"))).toMatchObject({
        mode: 0o104751,
        uid: 0,
        gid: 0,
        mtimeMs: 1234567000,
      });
      expect(statSync(join(path, "new/d"))).toMatchObject({ mode: 0o42770, mtimeMs: 1234567000 });
      expect(statSync(join(path, "new/d/s"))).toMatchObject({ uid: 0, gid: 0 });
      expect(statSync(join(path, "new"))).toMatchObject({ mode: 0o40755, uid: 0, gid: 0 });
    });
  });

  test("files of another stage keep their owners; a directory there gets those of the source", async () => {
    const stage = await copy(context({ "d/f": "x" }), ["."], "/", {
      owner: { user: "5", group: "6" },
      mode: 0o700,
    });
    const base = await copy(context({ "o/d/old": "x" }), ["."], "/");
    await bench.view(await copy(stage, ["."], "/o", {}, base), (path) => {
      expect(statSync(join(path, "o/d"))).toMatchObject({ mode: 0o40700, uid: 5, gid: 6 });
      expect(statSync(join(path, "o/d/f"))).toMatchObject({ mode: 0o100700, uid: 5, gid: 6 });
      expect(existsSync(join(path, "o/d/old"))).toBe(true);
      // The directory copied into is the base's own.
      expect(statSync(join(path, "o"))).toMatchObject({ mode: 0o40755, uid: 0, gid: 0 });
    });
  });

  test("--chown by number and by the base's names, --chmod in both forms", async () => {
    const base = await copy(
      context({
        "etc/passwd": "root:x:0:0::/:\napp:x:900:901::/:\n",
        "etc/group": "root:x:0:\nteam:x:77:app\n",
      }),
      ["."],
      "/",
    );
    const from = context({ "d/f": "x", "d/run": "y" });
    chmodSync(join(from.path, "d/run"), 0o755);
    const owners = async (user: string, group?: string) => {
      const owner = group === undefined ? { user } : { user, group };
      return await bench.view(await copy(from, ["d"], "/o/", { owner }, base), (path) => {
        const { uid, gid } = statSync(join(path, "o/f"));
        const made = statSync(join(path, "o"));
        expect([made.uid, made.gid]).toEqual([uid, gid]);
        return [uid, gid];
      });
    };
    expect(await owners("12")).toEqual([12, 12]);
    expect(await owners("12", "13")).toEqual([12, 13]);
    expect(await owners("app")).toEqual([900, 901]);
    expect(await owners("app", "team")).toEqual([900, 77]);
    bench.log.length = 0;
    expect(await owners("nobody-knows")).toEqual([0, 0]);
    expect(bench.log.join("")).toContain("user nobody-knows is not in /etc/passwd");
    const modes = async (mode: number | string) =>
      await bench.view(await copy(from, ["d"], "/o/", { mode }), (path) =>
        ["o/f", "o/run"].map((name) => (statSync(join(path, name)).mode & 0o7777).toString(8)),
      );
    expect(await modes(0o600)).toEqual(["600", "600"]);
    expect(await modes("u=rwX,go-rwx")).toEqual(["600", "700"]);
    expect(await modes("a+X,g+s")).toEqual(["2644", "2755"]);
  });

  test("hard links, holes, attributes, devices and FIFOs come along", async () => {
    const from = context({ a: "linked", "d/x": "" });
    linkSync(join(from.path, "a"), join(from.path, "d/b"));
    execFileSync("mkfifo", [join(from.path, "d/fifo")]);
    execFileSync("mknod", [join(from.path, "d/null"), "c", "1", "3"]);
    execFileSync("truncate", ["-s", "50M", join(from.path, "d/sparse")]);
    execFileSync("sh", ["-c", `printf end >> ${join(from.path, "d/sparse")}`]);
    setAttribute(join(from.path, "d/x"), "user.note", "hello");
    const base = await copy(context({ "etc/x": "" }), ["."], "/");
    for (const result of [await copy(from, ["."], "/o/"), await copy(from, ["."], "/o/", {}, base)])
      await bench.view(result, (path) => {
        expect(statSync(join(path, "o/a")).nlink).toBeGreaterThanOrEqual(1);
        expect(readFileSync(join(path, "o/d/b"), "utf8")).toBe("linked");
        expect(lstatSync(join(path, "o/d/fifo")).isFIFO()).toBe(true);
        expect(lstatSync(join(path, "o/d/null"))).toMatchObject({ rdev: lstatSync("/dev/null").rdev });
        const sparse = statSync(join(path, "o/d/sparse"));
        expect(sparse.size).toBe((50 << 20) + 3);
        expect(sparse.blocks * 512).toBeLessThan(1 << 20);
        expect(attribute(join(path, "o/d/x"), "user.note")).toBe("hello");
      });
    const both = context({ "d/a": "linked" });
    linkSync(join(both.path, "d/a"), join(both.path, "d/b"));
    for (const result of [await copy(both, ["."], "/o/"), await copy(both, ["."], "/o/", {}, base)])
      await bench.view(result, (path) => {
        expect(statSync(join(path, "o/d/a")).ino).toBe(statSync(join(path, "o/d/b")).ino);
      });
  });
});

describe("ADD of archives", () => {
  const archive = tarOf(
    { path: "bin/", mode: 0o711 },
    { path: "bin/tool", data: "tool", mode: 0o755, uid: 3, gid: 4 },
    { path: "link", type: "symlink", linkPath: "bin/tool" },
    { path: ".wh.name", data: "no whiteout" },
  );
  const compressors: Record<string, string[]> = {
    tar: ["cat"],
    gz: ["gzip", "-c"],
    bz2: ["bzip2", "-c"],
    xz: ["xz", "-c"],
    zst: ["zstd", "-c", "-q"],
  };
  for (const [name, command] of Object.entries(compressors))
    test(`${name} is unpacked`, async () => {
      const from = context({});
      writeFileSync(join(from.path, "a"), Bun.spawnSync(command, { stdin: archive }).stdout);
      const added = await copy(from, ["a"], "/o", { unpack: true });
      expect(await shown(added)).toEqual(["o/", "o/.wh.name", "o/bin/", "o/bin/tool", "o/link -> bin/tool"]);
      await bench.view(added, (path) => {
        expect(statSync(join(path, "o/bin/tool"))).toMatchObject({ mode: 0o100755, uid: 3, gid: 4 });
      });
      await bench.view(await copy(from, ["a"], "/o", { unpack: true, owner: { user: "9" } }), (path) => {
        expect(statSync(join(path, "o/bin/tool"))).toMatchObject({ uid: 9, gid: 9 });
      });
      // COPY does not.
      expect(await shown(await copy(from, ["a"], "/o"))).toEqual(["o"]);
    });

  test("what is no archive is copied", async () => {
    const from = context({ "plain.tar": "not a tar at all, only called so", empty: "", "d/x": "" });
    expect(await shown(await copy(from, ["."], "/o/", { unpack: true }))).toHaveLength(5);
    expect(await shown(await copy(from, ["plain.tar"], "/o/", { unpack: true }))).toEqual([
      "o/",
      "o/plain.tar",
    ]);
    expect(await shown(await copy(from, ["empty"], "/o/", { unpack: true }))).toEqual(["o/", "o/empty"]);
  });

  test("an archive stays inside of its destination, whatever its names", async () => {
    const from = context({});
    const hostile = [
      tarOf({ path: "../../escape", data: "x" }),
      tarOf({ path: "l", type: "symlink", linkPath: "/" }, { path: "l/escape", data: "x" }),
      tarOf({ path: "l", type: "symlink", linkPath: "../.." }, { path: "l/escape", data: "x" }),
    ];
    for (const [index, bytes] of hostile.entries()) {
      writeFileSync(join(from.path, "a"), bytes);
      const outcome = await copy(from, ["a"], "/deep/o/", { unpack: true }).then(shown, () => []);
      expect(outcome.filter((name) => name.endsWith("escape") && !name.startsWith("deep/o/"))).toEqual([]);
      expect(existsSync("/escape")).toBe(false);
      if (index === 0) expect(outcome).toEqual([]);
    }
  });
});

describe("keys", () => {
  test("content, names, modes and attributes count; times and owners of a context do not", async () => {
    const base = { "d/a": "1", "d/l": "-> a" };
    const key = (change: (path: string) => void = () => {}) => {
      const from = context(base);
      change(from.path);
      return keyFor(from, ["d"], "/o");
    };
    const same = await key();
    expect(await key()).toBe(same);
    expect(await key((path) => utimesSync(join(path, "d/a"), 5, 5))).toBe(same);
    expect(await key((path) => chownSync(join(path, "d/a"), 5, 5))).toBe(same);
    expect(await key((path) => writeFileSync(join(path, "other"), ""))).toBe(same);
    const changes: ((path: string) => void)[] = [
      (path) => writeFileSync(join(path, "d/a"), "2"),
      (path) => writeFileSync(join(path, "d/b"), ""),
      (path) => chmodSync(join(path, "d/a"), 0o600),
      (path) => mkdirSync(join(path, "d/n")),
      (path) => {
        rmSync(join(path, "d/l"));
        symlinkSync("b", join(path, "d/l"));
      },
      (path) => setAttribute(join(path, "d/a"), "user.n", "1"),
    ];
    const keys = [same];
    for (const change of changes) keys.push(await key(change));
    expect(new Set(keys).size).toBe(keys.length);
    expect(await keyFor(context(base), ["d"], "/p")).not.toBe(same);
    // Where it was in the context is of no consequence.
    const moved = context({ "e/a": "1", "e/l": "-> a" });
    expect(await keyFor(moved, ["e"], "/o")).toBe(same);
  });

  test("modes and owners that the instruction sets do not count", async () => {
    const a = context({ f: "1" });
    const b = context({ f: "1" });
    chmodSync(join(b.path, "f"), 0o600);
    expect(await keyFor(a, ["f"], "/", { mode: 0o644 })).toBe(await keyFor(b, ["f"], "/", { mode: 0o644 }));
    expect(await keyFor(a, ["f"], "/")).not.toBe(await keyFor(b, ["f"], "/"));
  });

  test("equal files of a context and of a stage have one key only when the owner is said", async () => {
    const from = context({ f: "1" });
    const stage = await copy(from, ["f"], "/");
    const owner = { user: "0" };
    expect(await keyFor(stage, ["f"], "/x", { owner })).toBe(await keyFor(from, ["f"], "/x", { owner }));
  });

  test("digests of files are remembered from build to build, and never for what has just changed", async () => {
    const open = () => openFileHashes(join(bench.root, "build"), "/some/context");
    const from = context({ old: "old", young: "young" });
    // Times of change cannot be set: the old file is made to look so by what is remembered of it.
    let hashes = open();
    const counted: string[] = [];
    const counting = (): FileHashes => ({
      get: (path, stamp) => hashes.get(path, stamp),
      set: (path, stamp, digest) => {
        counted.push(path);
        hashes.set(path, stamp, digest);
      },
    });
    /** The key while the change is still young: again, where the machine has let it grow old meanwhile. */
    const keyAfter = async (change: () => void): Promise<string> => {
      for (;;) {
        counted.length = 0;
        const began = Date.now();
        change();
        const key = await keyFor({ ...from, hashes: counting() }, ["."], "/");
        if (Date.now() - began < 1900) return key;
        hashes.close();
        rmSync(join(bench.root, "build/hashes"), { recursive: true, force: true });
        hashes = open();
      }
    };
    await keyAfter(() => ["old", "young"].map((name) => writeFileSync(join(from.path, name), name)));
    expect(counted).toEqual([]);
    await Bun.sleep(2300);
    const first = await keyAfter(() => writeFileSync(join(from.path, "young"), "younger"));
    expect(counted).toEqual(["old"]);
    hashes.close();
    hashes = open();
    counted.length = 0;
    expect(await keyFor({ ...from, hashes: counting() }, ["."], "/")).toBe(first);
    expect(counted).toEqual([]);
    // A change of the content is seen although size and time of modification are the same.
    const { atime, mtime } = statSync(join(from.path, "old"));
    writeFileSync(join(from.path, "old"), "new");
    utimesSync(join(from.path, "old"), atime, mtime);
    expect(await keyFor({ ...from, hashes: counting() }, ["."], "/")).not.toBe(first);
    hashes.close();
  });
});

describe("--link", () => {
  test("puts its layer over whatever the base has there", async () => {
    const base = await copy(context({ "d/old": "", l: "-> d", "x/y": "" }), ["."], "/");
    const link = await copy(context({ "l/f": "1", x: "file" }), ["."], "/");
    const merged = await bench.run(mergeExecutor, { kind: "merge" }, [base, link]);
    expect(await shown(merged)).toEqual(["d/", "d/old", "l/", "l/f", "x"]);
    expect(merged.layers).toHaveLength(base.layers.length + 1);
    expect(await shown(link)).toEqual(["l/", "l/f", "x"]);
  });

  test("on nothing it is the layer itself", async () => {
    const link = await copy(context({ f: "1" }), ["f"], "/");
    const merged = await bench.run(mergeExecutor, { kind: "merge" }, [
      { kind: "layers", key: link.key, layers: [] },
      link,
    ]);
    expect(merged.layers).toEqual(link.layers);
  });
});

describe("failures and large copies", () => {
  test("nothing is left of a copy that failed or was cancelled, no mount either", async () => {
    const before = await bench.snapshots();
    // Others mount, too; an overlay names its directories.
    const mounts = () =>
      readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(bench.root));
    expect(mounts()).toEqual([]);
    const descriptors = readdirSync("/proc/self/fd").length;
    await rejection(copy(context({}), ["nope"], "/"));
    const base = await copy(context({ "d/x": "" }), ["."], "/");
    await rejection(copy(context({ d: "file" }), ["."], "/", {}, base));
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`d${n % 9}/f${n}`, `${n}`]));
    const abort = new AbortController();
    const operation: FilesOperation = { kind: "files", actions: [copyOf(0, ["."], "/")] };
    const work = rejection(bench.run(filesExecutor, operation, [context(many)], { signal: abort.signal }));
    setTimeout(() => abort.abort(), 30);
    expect(await work).toContain("cancel");
    const after = await bench.snapshots();
    expect(after.filter((name) => !before.includes(name) && name !== base.layers[0]?.snapshot)).toEqual([]);
    expect(mounts()).toEqual([]);
    const open = () => readdirSync("/proc/self/fd").length;
    await until("descriptors to be closed", () => open() <= descriptors + 1);
  });

  test("a large copy is made by another process, and is the same", async () => {
    const many = Object.fromEntries(Array.from({ length: 1200 }, (_, n) => [`d${n % 7}/f${n}`, `${n}`]));
    const from = context(many);
    const base = await copy(context({ "d1/old": "" }), ["."], "/o");
    const listed = await shown(await copy(from, ["."], "/o", {}, base));
    expect(listed).toHaveLength(1200 + 7 + 2);
    expect(await rejection(copy(from, ["."], "/o/d1/old", {}, base))).toContain(
      "cannot copy to non-directory",
    );
  });

  test("a very large file is digested by another process, with the same outcome", async () => {
    const path = join(bench.root, "huge");
    execFileSync("sh", ["-c", `printf begin > ${path}; truncate -s 60M ${path}; printf end >> ${path}`]);
    const digest = await inParent(path, (fd, name) =>
      new FileDigests(undefined, new Turns()).of(fd, cString(name), statManyAt(fd, name)!, name),
    );
    expect(digest).toBe(digestOf(readFileSync(path)));
    const abort = new AbortController();
    const work = inParent(path, (fd, name) =>
      new FileDigests(undefined, new Turns(abort.signal)).of(fd, cString(name), statManyAt(fd, name)!, name),
    );
    abort.abort();
    expect(await rejection(Promise.resolve(work))).toContain("cancel");
  });

  test("a context that changes between its key and its copy is told, and not kept under the wrong key", async () => {
    const from = context({ f: "before" });
    const key = await keyFor(from, ["f"], "/");
    writeFileSync(join(from.path, "f"), "after");
    const before = await bench.snapshots();
    expect(await rejection(copy(from, ["f"], "/"))).toContain("have changed since the build began");
    expect(await bench.snapshots()).toEqual(before);
    expect(await keyFor(from, ["f"], "/")).not.toBe(key);
    expect(await shown(await copy(from, ["f"], "/"))).toEqual(["f"]);
  });

  test("two names that take turns never lead out of the context", async () => {
    const from = context({ "d/f": "inside" });
    const secret = join(bench.root, "secret");
    mkdirSync(secret, { recursive: true });
    writeFileSync(join(secret, "f"), "SECRET");
    const swapper = Bun.spawn([
      "sh",
      "-c",
      `cd ${from.path}; while :; do mv d e; ln -s ${secret} d; rm d; mv e d; done`,
    ]);
    try {
      for (let round = 0; round < 40; round++) {
        const outcome = await copy(from, ["."], "/o/")
          .then(
            (result) =>
              bench.view(result, (path) => execFileSync("grep", ["-rs", "", path], { encoding: "utf8" })),
            () => "",
          )
          .catch(() => "");
        expect(outcome).not.toContain("SECRET");
      }
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
  });
});
