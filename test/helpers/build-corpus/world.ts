/** What the corpus' builds need around them: contexts on disk, a registry, files and git repositories over HTTP. */
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { tarOf } from "../../../src/archive/tar/make.ts";
import { run } from "../engine.ts";
import { startTestRegistry, type TestRegistry } from "../images.ts";
import { contextTime, type FileSpec, type Files } from "./case.ts";

export interface World extends AsyncDisposable {
  readonly root: string;
  readonly registry: TestRegistry;
  /** Replaces the words of a case: `$$HTTP`, `$$REGISTRY`, `$$COMMIT`, `$$SHA`. */
  words(text: string): string;
}

/** The archive that ADD unpacks and downloads. */
export const sampleTar: Buffer = tarOf(
  { path: "top/", mode: 0o755, mtimeNs: BigInt(contextTime) * 1_000_000_000n },
  {
    path: "top/a",
    data: "packed",
    mode: 0o640,
    uid: 7,
    gid: 8,
    mtimeNs: BigInt(contextTime) * 1_000_000_000n,
  },
  { path: "top/link", type: "symlink", linkPath: "a", mtimeNs: BigInt(contextTime) * 1_000_000_000n },
  {
    path: "top/same",
    type: "link",
    linkPath: "top/a",
    mode: 0o640,
    uid: 7,
    gid: 8,
    mtimeNs: BigInt(contextTime) * 1_000_000_000n,
  },
);

/** The sample archive in one of the forms that ADD knows. */
export function packed(form: "tar" | "gz" | "bz2" | "xz" | "zst"): Buffer {
  if (form === "tar") return sampleTar;
  if (form === "gz") return gzipSync(sampleTar);
  if (form === "zst") return Buffer.from(Bun.zstdCompressSync(sampleTar));
  const program = { bz2: "bzip2", xz: "xz" }[form];
  return Buffer.from(Bun.spawnSync([program, "-c"], { stdin: sampleTar }).stdout);
}

export function writeFiles(directory: string, files: Files): void {
  mkdirSync(directory, { recursive: true });
  const times = new Map<string, number>();
  for (const [name, given] of Object.entries(files)) {
    const path = join(directory, name);
    const spec: FileSpec = typeof given === "string" ? { data: given } : given;
    mkdirSync(dirname(path), { recursive: true });
    const isDirectory = name.endsWith("/");
    const link = typeof given === "string" && given.startsWith("-> ") ? given.slice(3) : undefined;
    if (isDirectory) mkdirSync(path, { recursive: true });
    else {
      rmSync(path, { force: true, recursive: true });
      if (link !== undefined) symlinkSync(link, path);
      else if (spec.hard) linkSync(join(directory, spec.hard), path);
      else if (spec.fifo) Bun.spawnSync(["mkfifo", path]);
      else writeFileSync(path, spec.data ?? "");
    }
    if (link === undefined && spec.hard === undefined) {
      chmodSync(path, spec.mode ?? (isDirectory ? 0o755 : 0o644));
      if (spec.owner) chownSync(path, ...spec.owner);
      if (spec.time !== undefined) times.set(path.replace(/\/$/, ""), spec.time);
    }
  }
  const settle = (path: string) => {
    const stat = lstatSync(path);
    if (stat.isDirectory()) for (const name of readdirSync(path)) settle(join(path, name));
    const time = times.get(path) ?? contextTime;
    if (stat.isSymbolicLink()) Bun.spawnSync(["touch", "-h", "-d", `@${time}`, path]);
    else utimesSync(path, time, time);
  };
  settle(directory);
}

/** A repository with two commits, a branch, a tag and a submodule-free tree, served by git's dumb protocol. */
async function makeRepository(at: string, bare: string): Promise<string> {
  const date = `@${contextTime} +0000`;
  const env = {
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@a",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@a",
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_DATE: date,
    GIT_CONFIG_NOSYSTEM: "1",
    HOME: at,
  };
  const git = async (...argv: string[]) => {
    const result = await run(["git", ...argv], { cwd: at, env });
    if (result.code !== 0) throw new Error(`git ${argv.join(" ")}: ${result.stderr}`);
    return result.stdout.trim();
  };
  mkdirSync(at, { recursive: true });
  await git("init", "-q", "-b", "main");
  writeFiles(at, {
    "one.txt": "first\n",
    "sub/two.txt": "second\n",
    run: { data: "#!/bin/sh\n", mode: 0o755 },
    Dockerfile: "FROM busybox\nCOPY one.txt /from-git\n",
    "sub/Dockerfile": "FROM busybox\nCOPY two.txt /from-sub\n",
  });
  await git("add", ".");
  await git("commit", "-qm", "one");
  await git("tag", "v1");
  const commit = await git("rev-parse", "HEAD");
  writeFiles(at, { "one.txt": "changed\n" });
  await git("commit", "-qam", "two");
  await git("clone", "-q", "--bare", at, bare);
  await run(["git", "-C", bare, "update-server-info"], { env });
  return commit;
}

export async function startWorld(): Promise<World> {
  const root = mkdtempSync(join(tmpdir(), "corten-corpus-"));
  const registry = await startTestRegistry();
  const web = join(root, "web");
  writeFiles(web, {
    "file.txt": { data: "downloaded", mode: 0o600 },
    "dir/pack.tar.gz": { data: packed("gz") },
  });
  const commit = await makeRepository(join(root, "repository"), join(root, "web-git/project.git"));
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const path = new URL(request.url).pathname;
      if (path.includes("..")) return new Response("", { status: 400 });
      const found = [join(web, path), join(root, "web-git", path)].find(
        (name) => existsSync(name) && lstatSync(name).isFile(),
      );
      if (!found) return new Response("nothing here", { status: 404 });
      return new Response(Bun.file(found), {
        headers: { "Last-Modified": new Date(contextTime * 1000).toUTCString(), ETag: `"${path}"` },
      });
    },
  });
  const agent = Bun.listen({ unix: join(root, "agent.sock"), socket: { data: () => {} } });
  const words: Record<string, string> = {
    HTTP: `http://127.0.0.1:${server.port}`,
    REGISTRY: registry.address,
    COMMIT: commit,
    AGENT: join(root, "agent.sock"),
    SHA: new Bun.CryptoHasher("sha256").update("downloaded").digest("hex"),
  };
  return {
    root,
    registry,
    words: (text) => text.replace(/\$\$(\w+)/g, (whole, word: string) => words[word] ?? whole),
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      agent.stop(true);
      await registry[Symbol.asyncDispose]();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
