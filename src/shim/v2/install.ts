import { chmodSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CortenError, invalid } from "../../base/errors.ts";

/** What native/shim.c has before the place for corten's path, and how long that is (PATH_MAX, with its end). */
const mark = "corten-is-at-->\0";
const longestPath = 4096;

const defaultName = "containerd-shim-corten-v2";

/**
 * `install`: puts the native program that has containerd's commands (native/shim.c) to `target`, a directory or a name that
 * containerd can look for, and tells it where we are. Returns its path.
 */
export async function install(target: string | undefined, program: string): Promise<string> {
  if (!Bun.isStandaloneExecutable)
    throw new CortenError("failed_precondition", "only the one executable can be installed as a shim");
  const path = placeFor(target ?? dirname(program));
  const embedded = await import("../../../dist/corten-shim", { with: { type: "file" } });
  const bytes = withPath(readFileSync(embedded.default), realpathSync(program));
  const temporary = `${path}.${process.pid}`;
  try {
    writeFileSync(temporary, bytes, { mode: 0o755, flag: "wx" });
    chmodSync(temporary, 0o755);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  return path;
}

function placeFor(target: string): string {
  const path = isDirectory(target) ? join(target, defaultName) : target;
  if (!/^containerd-shim-[\w-]+-v\d$/.test(basename(path)))
    throw invalid(`${path} is neither a directory nor a name for a shim (containerd-shim-NAME-v2)`);
  return path;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The native program's bytes with corten's path in its place. */
export function withPath(shim: Uint8Array, path: string): Uint8Array {
  const text = Buffer.from(path);
  if (text.length >= longestPath) throw invalid(`${path} is too long a path`);
  const bytes = Buffer.from(shim);
  const at = bytes.indexOf(mark);
  if (at < 0 || bytes.indexOf(mark, at + 1) >= 0)
    throw new CortenError("internal", "the native shim has no place for a path");
  bytes.fill(0, at + mark.length, at + mark.length + longestPath);
  text.copy(bytes, at + mark.length);
  return bytes;
}
