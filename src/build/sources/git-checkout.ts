import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { invalid, notFound } from "../../base/errors.ts";
import { cString, openDirectoryAt, readDirectory } from "../../sys/directory.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { setTimesAt } from "../../sys/rootfs/index.ts";
import { S_IFDIR, S_IFMT, statAt } from "../../sys/stat.ts";
import { Root } from "../files/root.ts";
import type { GitSource } from "../graph.ts";
import type { Resolved } from "./git.ts";
import type { Git } from "./git-command.ts";

/** The files of a fetched commit into the empty `directory`. */
export async function checkout(
  git: Git,
  repository: string,
  directory: string,
  operation: GitSource,
  remote: string,
  resolved: Resolved,
): Promise<void> {
  const subdirectory = cleanSubdirectory(operation.subdirectory);
  // Git's own directory belongs to the whole repository.
  const keep = operation.keepGitDir && subdirectory.length === 0;
  const work =
    subdirectory.length === 0 ? directory : join(directory, `checkout-${randomBytes(8).toString("hex")}`);
  if (work !== directory) mkdirSync(work, { mode: 0o755 });
  const local = git.with({ protocols: ["file"], config: {} });
  await local.run(["init", "--quiet", work]);
  const { object, name } = resolved;
  // Over the file protocol: a local clone would share files with the copy, which repositories have abused.
  const as = name ?? "refs/corten/checkout";
  const fetch = ["fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags", "--no-recurse-submodules"];
  await local.run([...fetch, "--", `file://${repository}`, `+refs/corten/${object}:${as}`], { cwd: work });
  await local.run(["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"], { cwd: work });
  await local.run(["remote", "add", "origin", remote], { cwd: work });
  if (!operation.skipSubmodules && hasEntry(work, ".gitmodules"))
    await git.run(["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"], { cwd: work });
  if (keep) {
    if (name === undefined) await local.run(["update-ref", "-d", as], { cwd: work });
    await local.run(["reflog", "expire", "--all", "--expire=now"], { cwd: work });
    rmSync(join(work, ".git/FETCH_HEAD"), { force: true });
  }
  const time = operation.commitTimes
    ? BigInt((await local.run(["log", "-1", "--format=%ct", "HEAD"], { cwd: work })).trim()) * 1_000_000_000n
    : undefined;
  if (!keep) {
    rmSync(join(work, ".git"), { recursive: true, force: true });
    removeGitFiles(work);
  }
  if (work !== directory) takeOut(work, subdirectory, directory);
  if (time !== undefined) {
    using root = Root.open(directory);
    const fd = root.openDirectory("");
    setTimes(fd, time);
    rawSyscall("close", fd);
  }
}

function cleanSubdirectory(path: string | undefined): string[] {
  const parts = (path ?? "").split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || parts.includes(".git"))
    throw invalid(`invalid subdir ${JSON.stringify(path)} of a git repository`);
  return parts;
}

/** Moves what is in a subdirectory up, and the rest away. Links on the way are not followed. */
function takeOut(work: string, parts: readonly string[], directory: string): void {
  let at = work;
  for (const part of parts) {
    at = join(at, part);
    const shown = parts.join("/");
    let isDirectory: boolean;
    try {
      isDirectory = lstatSync(at).isDirectory();
    } catch {
      throw notFound(`invalid subdir ${JSON.stringify(shown)}: the git repository has none`);
    }
    if (!isDirectory)
      throw invalid(`git subpath ${JSON.stringify(shown)} contains non-directory ${JSON.stringify(part)}`);
  }
  for (const name of readdirSync(at)) renameSync(join(at, name), join(directory, name));
  rmSync(work, { recursive: true, force: true });
}

function hasEntry(directory: string, name: string): boolean {
  try {
    lstatSync(join(directory, name));
    return true;
  } catch {
    return false;
  }
}

/** Submodules have a file that names their repository's directory, which is gone. */
function removeGitFiles(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === ".git") rmSync(path, { recursive: true, force: true });
    else if (entry.isDirectory()) removeGitFiles(path);
  }
}

/** Of all that is in an open directory, and of itself. */
function setTimes(fd: number, time: bigint): void {
  for (const { name } of readDirectory(fd)) {
    const stat = statAt(fd, cString(name));
    if (stat && (stat.mode & S_IFMT) === S_IFDIR) {
      const child = openDirectoryAt(fd, name);
      try {
        setTimes(child, time);
      } finally {
        rawSyscall("close", child);
      }
    } else setTimesAt(fd, cString(name), time, time);
  }
  setTimesAt(fd, ".", time, time);
}
