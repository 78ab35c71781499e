/** ADD of local archives: a tar, whatever it is compressed with, is unpacked; everything else is copied. */
import { decompress } from "../../archive/decompress.ts";
import { Extractor } from "../../archive/extract.ts";
import { baseOf } from "../../archive/paths.ts";
import { blockSize, TarReader, type TarSink } from "../../archive/tar/index.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { S_IFMT, S_IFREG } from "../../sys/stat.ts";
import type { Destination } from "./destination.ts";
import type { Owner } from "./owner.ts";
import { shown, toBytes } from "./root.ts";
import type { CopyAction, Selection, SourceTree } from "./select.ts";
import type { Turns } from "./turns.ts";

const piece = 1 << 20;
const limits = {
  maxEntries: 10_000_000,
  maxHeaderSize: 1 << 20,
  maxPathLength: 4095,
  maxSize: 256 * 2 ** 30,
};

/** False when the selected file is no archive. */
export async function unpackInto(
  tree: SourceTree,
  selection: Selection,
  action: CopyAction,
  destination: Destination,
  owner: Owner | undefined,
  turns: Turns,
): Promise<boolean> {
  if ((selection.stat.mode & S_IFMT) !== S_IFREG || selection.stat.size < blockSize / 8) return false;
  if (!(await isArchive(tree, selection.path))) return false;
  const target = destination.root.resolve(toBytes(action.destination));
  destination.makeDirectories(target, 0o755, owner);
  const into = destination.openDirectory(target);
  try {
    using extractor = new Extractor(`/proc/self/fd/${into.fd}`, undefined, {
      plain: true,
      lenient: true,
      ...(owner ? { owner } : {}),
    });
    const reader = new TarReader(extractor, limits);
    for await (const chunk of expanded(tree, selection.path)) {
      // A long chunk is a long time without a turn for others.
      for (let at = 0; at < chunk.length; at += piece) {
        reader.push(chunk.subarray(at, at + piece));
        if (turns.due) await turns.pause();
      }
    }
    reader.finish();
    extractor.finish();
  } finally {
    rawSyscall("close", into.fd);
  }
  return true;
}

/** As Docker tells: the first entry's header can be read. */
async function isArchive(tree: SourceTree, path: string): Promise<boolean> {
  let isOne = false;
  const sink: TarSink = {
    entry: () => {
      isOne = true;
    },
    data: () => {},
    end: () => {},
  };
  const reader = new TarReader(sink, limits);
  try {
    let seen = 0;
    for await (const chunk of expanded(tree, path)) {
      reader.push(chunk.subarray(0, 64 << 10));
      seen += chunk.length;
      // Extension headers of the first entry are not longer than this.
      if (isOne || seen > limits.maxHeaderSize) break;
    }
  } catch {
    // An entry that is there but wrong is found while unpacking.
  }
  return isOne;
}

async function* expanded(tree: SourceTree, path: string): AsyncGenerator<Uint8Array> {
  const fd = tree.root.withParent(path, (parent) =>
    rawSyscall("openat", parent, cString(baseOf(path)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
  );
  if (fd === undefined || fd < 0) throw new SyscallError("open", -(fd ?? -2), shown(path));
  try {
    yield* decompress(pieces(fd, path), { what: fromShown(path), any: true });
  } finally {
    rawSyscall("close", fd);
  }
}

const fromShown = (path: string) => JSON.stringify(shown(path));

async function* pieces(fd: number, path: string): AsyncGenerator<Uint8Array> {
  for (;;) {
    // A new one each time: decompressors keep what they were given.
    const buffer = Buffer.allocUnsafe(piece);
    const length = rawSyscall("read", fd, buffer, buffer.length);
    if (length < 0) throw new SyscallError("read", -length, shown(path));
    if (length === 0) return;
    yield buffer.subarray(0, length);
  }
}
