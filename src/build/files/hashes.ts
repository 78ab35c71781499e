/** Digests of a directory's files from build to build. */
import { createHash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Digest } from "../../oci/digest.ts";
import type { FileHashes } from "../types.ts";

const version = "corten file digests 2";
/** Directories remembered; the longest unused goes first. */
const maxFiles = 200;

/**
 * Digests of the files of one directory, kept in one small file below `root` (services.root): a line for each path. It is
 * written anew, as a whole, when it is closed and something has changed; of two builds at once the last wins, which
 * costs the other nothing but hashing again.
 */
export function openFileHashes(root: string, directory: string): FileHashes & { close(): void } {
  const folder = join(root, "hashes");
  const path = join(folder, createHash("sha256").update(directory).digest("hex").slice(0, 32));
  const known = load(path, directory);
  const used = new Set<string>();
  let changed = false;
  return {
    get(file, stamp) {
      const entry = known.get(file);
      if (entry === undefined || !entry.startsWith(stamp) || entry[stamp.length] !== " ") return undefined;
      used.add(file);
      return `sha256:${entry.slice(stamp.length + 1)}`;
    },
    set(file, stamp, digest: Digest) {
      // The line's end would be the file's.
      if (file.includes("\n")) return;
      known.set(file, `${stamp} ${digest.slice("sha256:".length)}`);
      used.add(file);
      changed = true;
    },
    close() {
      try {
        if (changed) save(folder, path, directory, known, used);
        else if (used.size > 0) utimesSync(path, new Date(), new Date());
      } catch (error) {
        log.warn("cannot keep the digests of a build's files", { directory, error: messageOf(error) });
      }
    },
  };
}

/** Path → `stamp digest`. Whatever cannot be read is as good as nothing. */
function load(path: string, directory: string): Map<string, string> {
  const known = new Map<string, string>();
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch {
    return known;
  }
  const lines = text.split("\n");
  if (lines[0] !== version || lines[1] !== headOf(directory)) return known;
  for (let at = 2; at < lines.length - 1; at++) {
    const line = lines[at]!;
    const tab = line.indexOf("\t");
    if (tab > 0) known.set(line.slice(tab + 1), line.slice(0, tab));
  }
  return known;
}

const headOf = (directory: string): string => JSON.stringify(Buffer.from(directory).toString("latin1"));

function save(
  folder: string,
  path: string,
  directory: string,
  known: ReadonlyMap<string, string>,
  used: ReadonlySet<string>,
): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const parts = [version, headOf(directory)];
  // What this build did not look at stays as long as there is not much more of it than of what it did.
  const keepAll = known.size < 2 * used.size + 1000;
  for (const [file, entry] of known) if (keepAll || used.has(file)) parts.push(`${entry}\t${file}`);
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, Buffer.from(`${parts.join("\n")}\n`, "latin1"), { mode: 0o600 });
  renameSync(temporary, path);
  forgetOldest(folder);
}

function forgetOldest(folder: string): void {
  const names = readdirSync(folder);
  if (names.length <= maxFiles) return;
  const aged = names.map((name) => ({ name, time: statSync(join(folder, name)).mtimeMs }));
  aged.sort((a, b) => a.time - b.time);
  for (const { name } of aged.slice(0, names.length - maxFiles)) rmSync(join(folder, name), { force: true });
}
