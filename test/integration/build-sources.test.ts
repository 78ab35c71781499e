import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type EntryLike, tarOf } from "../../src/archive/tar/make.ts";
import {
  combinedContexts,
  hostDirectories,
  inlineFiles,
  openUploads,
} from "../../src/build/context/index.ts";
import { filesExecutor } from "../../src/build/files/index.ts";
import type { FilesOperation, GitSource, HttpSource } from "../../src/build/graph.ts";
import {
  gitExecutor,
  httpExecutor,
  imageExecutor,
  localExecutor,
  readFile,
} from "../../src/build/sources/index.ts";
import type { BuildRequest, Contexts, Result } from "../../src/build/types.ts";
import { writeBlob } from "../../src/containerd/client/index.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { type BuildBench, newRequest, openBuildBench } from "../helpers/build-files.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

let bench: BuildBench;
beforeAll(async () => {
  bench = await openBuildBench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const rejection = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: Error) => error.message,
  );
const list = (path: string): string[] =>
  execFileSync("find", [".", "-mindepth", "1", "-printf", "%P\\n"], { cwd: path, encoding: "utf8" })
    .split("\n")
    .filter(Boolean)
    .sort();
const access = () => ({ client: bench.client, snapshotter: "overlayfs" });
const forBuild = (more: Partial<BuildRequest> = {}) => newRequest(undefined, undefined, more);

describe("git", () => {
  const withGit = requires("git");
  let repository: string;
  let first: string;
  let second: string;
  const git = (...args: string[]): string =>
    execFileSync("git", ["-C", repository, ...args], {
      encoding: "utf8",
      env: {
        PATH: process.env["PATH"],
        HOME: bench.root,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: "a",
        GIT_AUTHOR_EMAIL: "a@b",
        GIT_COMMITTER_NAME: "a",
        GIT_COMMITTER_EMAIL: "a@b",
        GIT_COMMITTER_DATE: "2001-02-03T04:05:06Z",
        GIT_AUTHOR_DATE: "2001-02-03T04:05:06Z",
      },
    }).trim();

  beforeAll(() => {
    if (!Bun.which("git")) return;
    repository = join(bench.root, "repository");
    mkdirSync(join(repository, "sub/deep"), { recursive: true });
    git("init", "-q", "-b", "main");
    writeFileSync(join(repository, "Dockerfile"), "FROM scratch\n");
    writeFileSync(join(repository, "sub/deep/f"), "one");
    symlinkSync("/etc", join(repository, "link"));
    git("add", ".");
    git("commit", "-qm", "first");
    first = git("rev-parse", "HEAD");
    git("tag", "-a", "v1", "-m", "annotated");
    git("branch", "old");
    writeFileSync(join(repository, "sub/deep/f"), "two");
    writeFileSync(join(repository, "run"), "#!/bin/sh\n", { mode: 0o755 });
    git("add", ".");
    git("commit", "-qm", "second");
    second = git("rev-parse", "HEAD");
  });

  const source = (more: Partial<GitSource> = {}): GitSource => ({
    kind: "git",
    url: `file://${repository}`,
    keepGitDir: false,
    ...more,
  });
  const run = (operation: GitSource, request = forBuild({ entitlements: ["git.file"] })) =>
    bench.run(gitExecutor, operation, [], { request });
  const content = async (operation: GitSource) =>
    await bench.view(await run(operation), (path) => ({
      files: list(path),
      text: existsSync(join(path, "sub/deep/f")) ? readFileSync(join(path, "sub/deep/f"), "utf8") : "",
    }));

  withGit("branches, tags, commits and what is short for one are checked out", async () => {
    const all = ["Dockerfile", "link", "run", "sub", "sub/deep", "sub/deep/f"];
    expect(await content(source())).toEqual({ files: all, text: "two" });
    expect(await content(source({ ref: "main" }))).toEqual({ files: all, text: "two" });
    for (const ref of ["old", "v1", "refs/tags/v1", first, first.slice(0, 8)]) {
      const found = await content(source({ ref }));
      expect(found.text).toBe("one");
      expect(found.files).not.toContain("run");
    }
    await bench.view(await run(source()), (path) => {
      expect(statSync(join(path, "run")).mode & 0o777).toBe(0o755);
      expect(statSync(join(path, "Dockerfile")).mode & 0o777).toBe(0o644);
    });
  });

  withGit("a subdirectory, the times of the commit, and .git when asked", async () => {
    expect((await content(source({ subdirectory: "sub/deep" }))).files).toEqual(["f"]);
    await bench.view(await run(source({ commitTimes: true })), (path) => {
      expect(statSync(join(path, "sub/deep")).mtime.toISOString()).toBe("2001-02-03T04:05:06.000Z");
    });
    await bench.view(await run(source({ keepGitDir: true, ref: "v1" })), (path) => {
      // Git wants to know the path it is in; a snapshot has none.
      const copy = join(bench.root, "checked-out");
      execFileSync("cp", ["-a", path, copy]);
      const inside = (...args: string[]) =>
        execFileSync("git", ["-c", "safe.directory=*", "-C", copy, ...args], { encoding: "utf8" }).trim();
      expect(inside("rev-parse", "HEAD")).toBe(first);
      expect(inside("status", "--porcelain")).toBe("");
      expect(inside("tag")).toBe("v1");
    });
    expect(await rejection(run(source({ subdirectory: "link" })))).toContain("contains non-directory");
    expect(await rejection(run(source({ subdirectory: "nope" })))).toContain('invalid subdir "nope"');
    expect(await rejection(run(source({ subdirectory: "../x" })))).toContain("invalid subdir");
  });

  withGit("the key is that of the commit, whatever it was called", async () => {
    const key = (operation: GitSource) =>
      bench.key(gitExecutor, operation, [], { request: forBuild({ entitlements: ["git.file"] }) });
    expect(await key(source())).toBe(await key(source({ ref: second })));
    expect(await key(source({ ref: "v1" }))).toBe(await key(source({ ref: "old" })));
    expect(await key(source({ ref: "v1" }))).not.toBe(await key(source()));
    expect(await key(source({ subdirectory: "sub" }))).not.toBe(await key(source()));
  });

  withGit("checksums are checked, and what is missing is said", async () => {
    expect(await rejection(run(source({ ref: "main", checksum: first })))).toBe(
      `expected checksum to match ${first}, got ${second}`,
    );
    expect((await content(source({ ref: "main", checksum: second.slice(0, 12) }))).text).toBe("two");
    expect(await rejection(run(source({ ref: "nope" })))).toContain("does not contain ref nope");
    expect(await rejection(run(source({ ref: "-x" })))).toContain("invalid git ref");
    expect(await rejection(run(source({ ref: "0".repeat(40) })))).toContain("does not contain commit");
  });

  withGit("repositories of this host are only for those who may, and hooks of nobody run", async () => {
    expect(await rejection(run(source(), forBuild()))).toContain("transport 'file' not allowed");
    expect(await rejection(run(source({ url: "ext::sh -c touch% /tmp/never" })))).toContain("not allowed");
    const token = "s3cr3t-t0ken";
    const message = await rejection(
      run(source({ url: `https://user:${token}@127.0.0.1:1/x.git` }), forBuild({ entitlements: [] })),
    );
    expect(message).toContain("127.0.0.1");
    expect(message).not.toContain(token);
  });

  withGit("submodules are filled, unless they shall not be", async () => {
    const outer = join(bench.root, "outer");
    mkdirSync(outer);
    const inner = repository;
    repository = outer;
    git("init", "-q", "-b", "main");
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", `file://${inner}`, "mod");
    git("commit", "-qm", "with a submodule");
    const filled = await content(source({ url: `file://${outer}` }));
    const empty = await content(source({ url: `file://${outer}`, skipSubmodules: true }));
    repository = inner;
    expect(filled.files).toContain("mod/sub/deep/f");
    expect(filled.files.filter((name) => name.includes(".git/") || name.endsWith(".git"))).toEqual([]);
    expect(empty.files).toEqual([".gitmodules", "mod"]);
  });

  withGit("a file of a repository can be read by itself", async () => {
    const result = await run(source());
    expect(Buffer.from((await readFile(result, "Dockerfile", 100, access())) ?? []).toString()).toBe(
      "FROM scratch\n",
    );
    expect(await readFile(result, "nope", 100, access())).toBeUndefined();
    expect(await readFile(result, "link/passwd", 100, access())).toBeUndefined();
    expect(await rejection(readFile(result, "Dockerfile", 3, access()))).toContain("more than 3");
  });
});

describe("http", () => {
  let server: ReturnType<typeof Bun.serve>;
  const asked: { path: string; headers: Headers }[] = [];
  let body = "content";
  beforeAll(() => {
    server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => {
        const path = new URL(request.url).pathname;
        asked.push({ path, headers: request.headers });
        if (path === "/loop") return Response.redirect("/loop", 302);
        if (path === "/to-file")
          return new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
        if (path === "/there")
          return new Response(null, {
            status: 301,
            headers: { location: `http://localhost:${server.port}/f` },
          });
        if (path === "/missing") return new Response("no", { status: 404 });
        if (request.headers.get("if-none-match") === `"${body}"`) return new Response(null, { status: 304 });
        return new Response(body, {
          headers: { etag: `"${body}"`, "last-modified": "Sat, 03 Feb 2001 04:05:06 GMT" },
        });
      },
    });
  });
  afterAll(() => server.stop(true));

  const source = (path: string, more: Partial<HttpSource> = {}): HttpSource => ({
    kind: "http",
    url: `http://127.0.0.1:${server.port}${path}`,
    filename: "f",
    ...more,
  });

  test("a file is downloaded with the server's time and a mode of 0600", async () => {
    const request = forBuild();
    const result = await bench.run(httpExecutor, source("/f"), [], { request });
    await bench.view(result, (path) => {
      expect(readFileSync(join(path, "f"), "utf8")).toBe("content");
      expect(statSync(join(path, "f"))).toMatchObject({ mode: 0o100600, uid: 0, gid: 0 });
      expect(statSync(join(path, "f")).mtime.toISOString()).toBe("2001-02-03T04:05:06.000Z");
    });
    await bench.view(await bench.run(httpExecutor, source("/f", { mode: 0o755, filename: "g" })), (path) =>
      expect(statSync(join(path, "g")).mode & 0o777).toBe(0o755),
    );
    await bench.endBuild();
    expect(list(join(bench.root, "build/contexts"))).toEqual([]);
  });

  test("it is asked for once in a build, and in the next only whether it has changed", async () => {
    body = "asked";
    asked.length = 0;
    const request = forBuild();
    const key = await bench.key(httpExecutor, source("/g"), [], { request });
    await bench.run(httpExecutor, source("/g"), [], { request });
    expect(asked).toHaveLength(1);
    expect(await bench.key(httpExecutor, source("/g"), [], { request: forBuild() })).toBe(key);
    expect(asked[1]?.headers.get("if-none-match")).toBe('"asked"');
    // Not changed, but the cache has lost it: then it is downloaded after all.
    const again = forBuild();
    await bench.key(httpExecutor, source("/g"), [], { request: again });
    await bench.view(await bench.run(httpExecutor, source("/g"), [], { request: again }), (path) =>
      expect(readFileSync(join(path, "f"), "utf8")).toBe("asked"),
    );
    body = "other";
    expect(await bench.key(httpExecutor, source("/g"), [], { request: forBuild() })).not.toBe(key);
  });

  test("checksums, statuses, redirects and names are checked", async () => {
    const wrong = `sha256:${"1".repeat(64)}` as const;
    expect(await rejection(bench.run(httpExecutor, source("/f", { checksum: wrong })))).toMatch(
      /^digest mismatch for http:.*\(expected: sha256:1+\)$/,
    );
    const right = digestOf(Buffer.from(body));
    expect((await bench.run(httpExecutor, source("/f", { checksum: right }))).layers).toHaveLength(1);
    expect(await rejection(bench.run(httpExecutor, source("/missing")))).toContain(
      "invalid response status 404",
    );
    expect(await rejection(bench.run(httpExecutor, source("/loop")))).toContain("stopped after 10 redirects");
    expect(await rejection(bench.run(httpExecutor, source("/to-file")))).toContain("which is not followed");
    expect(await rejection(bench.run(httpExecutor, source("/f", { filename: "../x" })))).toContain(
      "is no name",
    );
  });

  test("credentials go to their host only, and into no message", async () => {
    asked.length = 0;
    const url = `http://user:s3cr3t@127.0.0.1:${server.port}`;
    await bench.run(httpExecutor, source("", { url: `${url}/there` }));
    expect(asked.map(({ path }) => path)).toEqual(["/there", "/f"]);
    expect(asked[0]?.headers.get("authorization")).toBe(
      `Basic ${Buffer.from("user:s3cr3t").toString("base64")}`,
    );
    expect(asked[1]?.headers.get("authorization")).toBeNull();
    expect(await rejection(bench.run(httpExecutor, source("", { url: `${url}/missing` })))).not.toContain(
      "s3cr3t",
    );
  });
});

describe("images", () => {
  test("layers are unpacked, named as chains, and keyed by them", async () => {
    const { client } = bench;
    const layers = [tarOf({ path: "a", data: "1" }), tarOf({ path: "b", data: "2" })];
    const put = async (bytes: Uint8Array, mediaType: string) => {
      const digest = digestOf(bytes);
      await writeBlob(client, { ref: digest, digest, size: bytes.length, labels: {} }, async function* () {
        yield bytes;
      });
      return { mediaType, digest, size: bytes.length };
    };
    const json = (value: unknown) => Buffer.from(JSON.stringify(value));
    const config = await put(
      json({
        architecture: "amd64",
        os: "linux",
        rootfs: { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) },
      }),
      "application/vnd.oci.image.config.v1+json",
    );
    const blobs = [];
    for (const layer of layers) blobs.push(await put(layer, "application/vnd.oci.image.layer.v1.tar"));
    const manifest = await put(
      json({ schemaVersion: 2, config, layers: blobs }),
      "application/vnd.oci.image.manifest.v1+json",
    );
    const operation = {
      kind: "image" as const,
      reference: "docker.io/library/x:latest",
      manifest: manifest.digest,
      platform: { os: "linux", architecture: "amd64" },
    };
    const result = await bench.run(imageExecutor, operation);
    expect(result.layers.map(({ diffId, blob }) => [diffId, blob?.digest])).toEqual(
      blobs.map(({ digest }) => [digest, digest]),
    );
    expect(result.layers[0]?.snapshot).toBe(blobs[0]!.digest);
    expect(await bench.key(imageExecutor, operation)).toBe(result.key);
    expect(await bench.view(result, list)).toEqual(["a", "b"]);
  });
});

describe("contexts", () => {
  async function* pieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  const signal = new AbortController().signal;
  const uploads = (limits = {}) => openUploads(join(bench.root, "uploads"), limits);
  const receive = (...entries: EntryLike[]) => uploads().receive(pieces(tarOf(...entries)), { signal });

  test("an archive in any compression becomes a directory, and goes when it is closed", async () => {
    const archive = tarOf({ path: "d/" }, { path: "d/f", data: "x", uid: 7, mode: 0o640 });
    for (const command of [["cat"], ["gzip", "-c"], ["bzip2", "-c"], ["xz", "-c"], ["zstd", "-qc"]]) {
      const bytes = Bun.spawnSync(command, { stdin: archive }).stdout;
      const context = await uploads().receive(pieces(bytes), { signal });
      const opened = await context.open("context", { exclude: [], signal });
      expect(list(opened.path)).toEqual(["d", "d/f"]);
      expect(statSync(join(opened.path, "d/f"))).toMatchObject({ mode: 0o100640, uid: 0 });
      expect(Buffer.from((await context.read("context", "/d/f", 10)) ?? []).toString()).toBe("x");
      expect(await context.read("context", "nope", 10)).toBeUndefined();
      await context.close();
      expect(existsSync(opened.path)).toBe(false);
    }
  });

  test("nothing is hashed twice: the digests are those of the archive's files", async () => {
    const context = await receive(
      { path: "a", data: "1" },
      { path: "d/b", data: "22" },
      { path: "d/b", data: "33" },
    );
    const { path, hashes } = await context.open("context", { exclude: [], signal });
    let asked = 0;
    let found = 0;
    const directory: Result = {
      kind: "directory",
      key: `sha256:${"2".repeat(64)}`,
      path,
      exclude: [],
      hashes: {
        get: (name, stamp) => {
          asked++;
          const digest = hashes?.get(name, stamp);
          if (digest !== undefined) found++;
          return digest;
        },
        set: () => {},
      },
    };
    const copy: FilesOperation = {
      kind: "files",
      actions: [{ action: "copy", input: 0, sources: ["."], destination: "/", followLinks: true }],
    };
    const key = await bench.key(filesExecutor, copy, [directory]);
    expect([asked, found]).toEqual([2, 2]);
    // And they are right.
    const plain: Result = { kind: "directory", key: directory.key, path, exclude: [] };
    expect(await bench.key(filesExecutor, copy, [plain])).toBe(key);
    await context.close();
  });

  test("hostile archives are refused or stay inside, and leave nothing", async () => {
    const outside = join(bench.root, "escape");
    const refused: EntryLike[][] = [
      [{ path: "../escape", data: "x" }],
      [{ path: "a/../../escape", data: "x" }],
      [{ path: "h", type: "link", linkPath: "../../etc/passwd" }],
      [{ path: "h", type: "link", linkPath: "/etc/passwd" }],
    ];
    for (const entries of refused) expect(await rejection(receive(...entries))).not.toBe("done");
    const inside = await receive(
      { path: "up", type: "symlink", linkPath: "../../.." },
      { path: "root", type: "symlink", linkPath: "/" },
      { path: `up${outside}`, data: "x" },
      { path: `root${outside}`, data: "x" },
      { path: "/absolute", data: "x" },
    );
    const { path } = await inside.open("context", { exclude: [], signal });
    expect(existsSync(outside)).toBe(false);
    expect(existsSync(join(path, "absolute"))).toBe(true);
    await inside.close();
    expect(await rejection(uploads().receive(pieces(Buffer.alloc(2000, 7)), { signal }))).toStartWith(
      "Error processing tar file",
    );
    expect(await rejection(uploads().receive(pieces(Buffer.from("1f8b08ff", "hex")), { signal }))).not.toBe(
      "done",
    );
    expect(
      await rejection(
        uploads().receive(pieces(tarOf({ path: "a", data: "1" }).subarray(0, 600)), { signal }),
      ),
    ).not.toBe("done");
    expect(list(join(bench.root, "uploads/contexts"))).toEqual([]);
  });

  test("sizes and counts are bounded", async () => {
    const many = tarOf(...Array.from({ length: 20 }, (_, n) => ({ path: `f${n}` })));
    expect(await rejection(uploads({ maxEntries: 10 }).receive(pieces(many), { signal }))).toContain(
      "limit is 10",
    );
    const zeros = Bun.spawnSync(["gzip", "-c"], {
      stdin: tarOf({ path: "z", data: Buffer.alloc(5_000_000) }),
    }).stdout;
    expect(await rejection(uploads({ maxSize: 1_000_000 }).receive(pieces(zeros), { signal }))).toContain(
      "1000000",
    );
    const abort = new AbortController();
    abort.abort();
    expect(await rejection(uploads().receive(pieces(many), { signal: abort.signal }))).toContain("cancel");
    expect(list(join(bench.root, "uploads/contexts"))).toEqual([]);
  });

  test("what a killed process left is swept at the next start", async () => {
    const left = join(bench.root, "uploads/contexts/upload-old");
    mkdirSync(join(left, "d"), { recursive: true });
    uploads();
    expect(existsSync(left)).toBe(false);
  });

  test("directories of the host, files from memory, and both together", async () => {
    const directory = join(bench.root, "host");
    mkdirSync(directory);
    writeFileSync(join(directory, "Dockerfile"), "FROM host");
    symlinkSync("/etc/passwd", join(directory, "out"));
    const root = join(bench.root, "build");
    const contexts: Contexts = combinedContexts(
      inlineFiles({ dockerfile: { Dockerfile: Buffer.from("FROM memory") } }, { root }),
      hostDirectories({ context: directory }, { root }),
    );
    const text = async (name: string, path: string) =>
      Buffer.from((await contexts.read(name, path, 1000)) ?? []).toString();
    expect(await text("dockerfile", "./Dockerfile")).toBe("FROM memory");
    expect(await text("context", "Dockerfile")).toBe("FROM host");
    expect(await contexts.read("context", "out", 1000)).toBeUndefined();
    expect(contexts.has("nope")).toBe(false);
    expect(await rejection(contexts.open("nope", { exclude: [], signal }))).toContain('no context "nope"');
    const opened = await localExecutor.execute(
      { kind: "local", name: "context", exclude: ["out"] },
      bench.execution({ kind: "local", name: "context", exclude: ["out"] }, [], { contexts }),
    );
    expect(opened).toMatchObject({ kind: "directory", path: directory, exclude: ["out"] });
    expect(await readFile(opened, "out", 100, access())).toBeUndefined();
    const inline = await contexts.open("dockerfile", { exclude: [], signal });
    expect(list(inline.path)).toEqual(["Dockerfile"]);
    await inline.close();
    expect(existsSync(inline.path)).toBe(false);
    await bench.endBuild();
  });
});
