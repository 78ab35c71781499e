import { createHash, type Hash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  read,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { conflict } from "../../base/errors.ts";
import type { IngestStatus } from "./types.ts";

const readAsync = promisify(read);

/** What a writer needs of an ingest, new or resumed. */
export interface OpenIngest {
  ref: string;
  directory: string;
  fd: number;
  offset: number;
  total: number;
  startedAt: Date;
  hash: Hash;
}

/** A ref is any string a client chose, so it never becomes a file name itself. */
export function ingestDirectory(root: string, ref: string): string {
  return join(root, "ingest", createHash("sha256").update(ref).digest("hex"));
}

/**
 * The state of an ingest on disk; undefined when there is none, or one that died before it was complete. These
 * are a few tiny files in the page cache: asking a thread for each would take longer than reading them.
 */
export function readIngest(directory: string): IngestStatus | undefined {
  try {
    const ref = readFileSync(join(directory, "ref"), "utf8");
    const startedAt = new Date(readFileSync(join(directory, "startedat"), "utf8"));
    const data = statSync(join(directory, "data"));
    return {
      ref,
      offset: data.size,
      total: existsSync(join(directory, "total"))
        ? Number(readFileSync(join(directory, "total"), "utf8")) || 0
        : 0,
      expected: "",
      startedAt: Number.isNaN(startedAt.getTime()) ? data.mtime : startedAt,
      updatedAt: data.mtime,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Feeds the first `length` bytes of an open file to a new hash. */
export async function hashPrefix(fd: number, length: number): Promise<Hash> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(Math.min(1 << 20, Math.max(1, length)));
  for (let at = 0; at < length; ) {
    const want = Math.min(buffer.length, length - at);
    const { bytesRead } = await readAsync(fd, buffer, 0, want, at);
    if (bytesRead === 0) throw new Error(`ingest is shorter than the ${length} bytes it had`);
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hash;
}

/** Starts an ingest or takes up the one that is there: what was written is hashed again. */
export async function openIngest(directory: string, ref: string, total: number): Promise<OpenIngest> {
  const found = readIngest(directory);
  if (found && total > 0 && found.total > 0 && found.total !== total)
    throw conflict(`ingest ref ${ref} was started with a total of ${found.total} bytes, not ${total}`);
  if (!found) {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    writeFileSync(join(directory, "startedat"), new Date().toISOString());
    writeFileSync(join(directory, "updatedat"), new Date().toISOString());
    writeFileSync(join(directory, "ref"), ref);
  }
  if (total > 0 && !found?.total) writeFileSync(join(directory, "total"), String(total));
  const fd = openSync(join(directory, "data"), found ? "r+" : "w+", 0o644);
  try {
    const offset = found?.offset ?? 0;
    const hash = await hashPrefix(fd, offset);
    return {
      ref,
      directory,
      fd,
      offset,
      total: found?.total || total,
      startedAt: found?.startedAt ?? new Date(),
      hash,
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
