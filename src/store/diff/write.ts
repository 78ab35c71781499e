/** writeDiff(): what a snapshot changed, as a layer (image-spec layer.md). */

import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { Readable } from "node:stream";
import { createGzip, createZstdCompress } from "node:zlib";
import { LowerLayers } from "../../archive/lowers.ts";
import { baseOf, join, opaqueName, parentOf, whiteoutPrefix } from "../../archive/paths.ts";
import {
  endOfArchive,
  formatEntry,
  padding,
  type TarEntry,
  type TarEntryType,
} from "../../archive/tar/index.ts";
import { conflict } from "../../base/errors.ts";
import { displayName } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { type Mount, mountTemporarily, splitLowerdir } from "../../sys/mount.ts";
import { O_DIRECTORY, O_RDONLY } from "../../sys/open.ts";
import { openInRoot } from "../../sys/rootfs/index.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  type Stat,
  splitDevice,
} from "../../sys/stat.ts";
import { unpackTargetOf } from "../layer/apply.ts";
import type { DiffOptions, LayerDiff, LayerTarget } from "../layer/types.ts";
import { type Change, compareTrees, openFileAt, readFully, readLink, typeOf } from "./change.ts";
import { listUpper } from "./overlay.ts";

const chunkSize = 256 << 10;

/**
 * The layer that makes `upper` out of `lower` (absent: of nothing). Entries are in the order of their paths,
 * so the same trees give the same bytes. When `upper` is an overlay on `lower` only its upper directory is read.
 */
export function writeDiff(
  lower: LayerTarget | undefined,
  upper: LayerTarget,
  options: DiffOptions = {},
): LayerDiff {
  const { promise, resolve, reject } = Promise.withResolvers<{ diffId: string; size: number }>();
  // Who only reads the stream hears of a failure there.
  promise.catch(() => {});
  const hash = options.unhashed ? undefined : createHash("sha256");
  let size = 0;
  async function* hashed(): AsyncGenerator<Uint8Array> {
    let complete = false;
    try {
      for await (const chunk of layer(lower, upper, options.sourceDateEpoch)) {
        hash?.update(chunk);
        size += chunk.length;
        yield chunk;
      }
      complete = true;
      resolve({ diffId: hash ? `sha256:${hash.digest("hex")}` : "", size });
    } catch (error) {
      reject(error);
      throw error;
    } finally {
      if (!complete) reject(conflict("the diff was not read to its end"));
    }
  }
  return { stream: compressed(hashed(), options.compression ?? "none"), result: promise };
}

function compressed(
  tar: AsyncGenerator<Uint8Array>,
  compression: NonNullable<DiffOptions["compression"]>,
): ReadableStream<Uint8Array> {
  let chunks: AsyncIterator<Uint8Array> = tar;
  if (compression !== "none") {
    const encoder = compression === "gzip" ? createGzip({ chunkSize }) : createZstdCompress({ chunkSize });
    const input = Readable.from(tar, { objectMode: true, highWaterMark: 4 });
    input.on("error", (error) => encoder.destroy(error));
    encoder.on("close", () => input.destroy());
    chunks = (input.pipe(encoder) as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await chunks.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await chunks.return?.();
        await tar.return(undefined);
      },
    },
    { highWaterMark: 1 },
  );
}

/** A directory to read `target` in: its only bind's source, or a mount that ends with `using`. */
function open(target: LayerTarget): { path: string } & Disposable {
  if ("path" in target) return { path: target.path, [Symbol.dispose]: () => {} };
  const [mount, ...more] = target.mounts;
  const isBind = mount?.options.includes("rbind") || mount?.options.includes("bind");
  if (mount && isBind && more.length === 0 && !mount.target)
    return { path: mount.source, [Symbol.dispose]: () => {} };
  return mountTemporarily(target.mounts);
}

/** The read-only layers a view's mounts show, uppermost first; undefined when they are no plain view. */
function lowersOf(target: LayerTarget): string[] | undefined {
  if ("path" in target) return [target.path];
  const [mount, ...more] = target.mounts as readonly Mount[];
  if (!mount || more.length > 0 || mount.target) return undefined;
  if (mount.options.includes("rbind") || mount.options.includes("bind")) return [mount.source];
  if (mount.type !== "overlay" || mount.options.some((option) => option.startsWith("upperdir=")))
    return undefined;
  const lower = mount.options.find((option) => option.startsWith("lowerdir="));
  return lower ? splitLowerdir(lower.slice("lowerdir=".length)) : undefined;
}

async function* layer(
  lower: LayerTarget | undefined,
  upper: LayerTarget,
  epoch: Date | undefined,
): AsyncGenerator<Uint8Array> {
  using found = await openChanges(lower, upper);
  yield* writeChanges(found.root, found.changes, epoch);
}

/** What makes `upper` of `lower`, and the directory it is in, which ends with `using`. */
export async function openChanges(
  lower: LayerTarget | undefined,
  upper: LayerTarget,
): Promise<{ root: string; changes: readonly Change[] } & Disposable> {
  const stays = (root: string, changes: readonly Change[]) => ({
    root,
    changes,
    [Symbol.dispose]: () => {},
  });
  const overlay = "mounts" in upper ? unpackTargetOf(upper.mounts) : undefined;
  const below = lower ? lowersOf(lower) : undefined;
  const nearest = overlay?.lowers?.[0];
  if (overlay?.lowers && nearest !== undefined && below && overlay.lowers.join("\0") === below.join("\0")) {
    const changes = await listUpper(overlay.root, new LowerLayers(overlay.lowers), nearest);
    if (changes) return stays(overlay.root, changes);
  }
  // The view of a committed snapshot on the view of its parent: what it adds is its uppermost layer.
  const [own, ...parents] = overlay ? [] : (lowersOf(upper) ?? []);
  if (own !== undefined && parents[0] !== undefined && below && parents.join("\0") === below.join("\0")) {
    const changes = await listUpper(own, new LowerLayers(parents), parents[0]);
    if (changes) return stays(own, changes);
  }
  using before = lower ? open(lower) : undefined;
  const after = open(upper);
  try {
    const changes = await compareTrees(before?.path, after.path);
    return { root: after.path, changes, [Symbol.dispose]: () => after[Symbol.dispose]() };
  } catch (error) {
    after[Symbol.dispose]();
    throw error;
  }
}

const tarTypes: Readonly<Record<number, TarEntryType>> = {
  [S_IFREG]: "file",
  [S_IFDIR]: "directory",
  [S_IFLNK]: "symlink",
  [S_IFCHR]: "char",
  [S_IFBLK]: "block",
  [S_IFIFO]: "fifo",
};

async function* writeChanges(
  root: string,
  changes: readonly Change[],
  epoch: Date | undefined,
): AsyncGenerator<Uint8Array> {
  const rootFd = openSync(root, "r");
  const links = new Map<string, string>();
  try {
    // Small headers are sent together: each piece costs its way through the stream.
    let pending: Uint8Array[] = [];
    let pendingLength = 0;
    for (const change of changes) {
      const header = headerOf(rootFd, change, links, epoch);
      pending.push(formatEntry(header));
      pendingLength += 512;
      if (header.size > 0) {
        for await (const piece of dataOf(rootFd, change.path, header.size)) {
          pending.push(piece);
          pendingLength += piece.length;
          if (pendingLength < chunkSize) continue;
          yield Buffer.concat(pending);
          pending = [];
          pendingLength = 0;
        }
      }
    }
    pending.push(endOfArchive);
    yield Buffer.concat(pending);
  } finally {
    closeSync(rootFd);
  }
}

function headerOf(
  rootFd: number,
  change: Change,
  links: Map<string, string>,
  epoch: Date | undefined,
): TarEntry {
  const plain = { linkPath: "", size: 0, major: 0, minor: 0, xattrs: [] };
  if (change.kind !== "entry") {
    const path =
      change.kind === "opaque"
        ? join(change.path, opaqueName)
        : join(parentOf(change.path), `${whiteoutPrefix}${baseOf(change.path)}`);
    // A whiteout has no attributes of its own; fixed ones keep the layer reproducible.
    return { ...plain, path, type: "file", mode: 0, uid: 0, gid: 0, mtimeNs: 0n };
  }
  const { path, stat } = change;
  const type = tarTypes[typeOf(stat)]!;
  const entry: TarEntry = {
    ...plain,
    path: type === "directory" ? (path === "" ? "./" : `${path}/`) : path,
    type,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    mtimeNs: clamp(stat.mtimeNs, epoch),
    xattrs: change.xattrs,
  };
  if (type !== "directory" && stat.nlink > 1) {
    const key = `${stat.dev}:${stat.ino}`;
    const first = links.get(key);
    if (first !== undefined) return { ...entry, type: "link", linkPath: first, xattrs: [] };
    links.set(key, path);
  }
  if (type === "file") entry.size = stat.size;
  if (type === "char" || type === "block") Object.assign(entry, splitDevice(stat.rdev));
  if (type === "symlink") entry.linkPath = inParent(rootFd, path, readLink);
  return entry;
}

function clamp(mtimeNs: Stat["mtimeNs"], epoch: Date | undefined): bigint {
  const latest = epoch ? BigInt(epoch.getTime()) * 1_000_000n : undefined;
  return latest !== undefined && mtimeNs > latest ? latest : mtimeNs;
}

/** Runs `work` on the directory that holds `path`, found inside the root whatever happens to the tree. */
function inParent<T>(rootFd: number, path: string, work: (dirFd: number, name: string) => T): T {
  const parent = Buffer.from(`${parentOf(path) || "."}\0`, "latin1");
  const fd = openInRoot(rootFd, parent, O_RDONLY | O_DIRECTORY);
  if (fd < 0) throw new SyscallError("open", -fd, displayName(path));
  try {
    return work(fd, baseOf(path));
  } finally {
    rawSyscall("close", fd);
  }
}

/** Exactly `size` bytes of a file and the padding: one that shrank meanwhile is filled up with zeros. */
async function* dataOf(rootFd: number, path: string, size: number): AsyncGenerator<Uint8Array> {
  const fd = inParent(rootFd, path, openFileAt);
  try {
    for (let left = size; left > 0; ) {
      const piece = Buffer.alloc(Math.min(chunkSize, left));
      readFully(fd, piece);
      left -= piece.length;
      yield piece;
      if (left > 0) await new Promise((done) => setImmediate(done));
    }
  } finally {
    rawSyscall("close", fd);
  }
  if (padding(size) > 0) yield new Uint8Array(padding(size));
}
