/** COPY --link: layers that were made on nothing, put on top of others without looking at those. */

import { copyData, copyMetadata } from "../../archive/copy-file.ts";
import { conflict } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { cString, removeTreeAt } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import type { Mount } from "../../sys/mount.ts";
import { openMounts } from "../../sys/mount.ts";
import { setTimesAt } from "../../sys/rootfs/index.ts";
import { AT_SYMLINK_NOFOLLOW, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Stat, statAt } from "../../sys/stat.ts";
import { digestOf, type MergeOperation } from "../graph.ts";
import type { Execution, Executor, Layer, Result } from "../types.ts";
import { ignoring } from "./filter.ts";
import { EEXIST, enter, Root, readLinkAt, shown } from "./root.ts";
import { makeLayer, withView } from "./snapshot.ts";
import { Turns } from "./turns.ts";
import { type Visitor, walk } from "./walk.ts";

/** The layers of inputs 1… on top of input 0. No `contentKey`: the inputs' keys decide. */
export const mergeExecutor: Executor<MergeOperation> = {
  execute: (_operation, execution) => span("build", "merge layers", () => merge(execution)),
};

async function merge(execution: Execution): Promise<Result> {
  const inputs = execution.inputs.map((input) => {
    if (input.kind !== "layers") throw conflict("a client's directory is no layer to merge");
    return input;
  });
  const [base, ...added] = inputs;
  let layers: readonly Layer[] = base?.layers ?? [];
  for (const input of added) layers = [...layers, ...(await rebase(execution, layers, input.layers))];
  return { kind: "layers", key: digestOf(["merge", inputs.map(({ key }) => key)]), layers };
}

/**
 * One layer on `below` that holds what `layers` come to. What is known of a single layer's blob stays true: it is the same
 * files.
 */
async function rebase(
  execution: Execution,
  below: readonly Layer[],
  layers: readonly Layer[],
): Promise<readonly Layer[]> {
  // On nothing, they are what they are.
  if (below.length === 0 || layers.length === 0) return layers;
  const [only, ...more] = layers;
  const made = await withView(execution, layers, (from) =>
    makeLayer(execution, below, (mounts) => fill(from, mounts, new Turns(execution.signal))),
  );
  if (!only || more.length > 0) return [made];
  return [
    {
      ...made,
      ...(only.diffId ? { diffId: only.diffId } : {}),
      ...(only.blob ? { blob: only.blob } : {}),
    },
  ];
}

/** Into an overlay's upper directory where there is one: that is what a layer on top is. */
async function fill(from: readonly Mount[], mounts: readonly Mount[], turns: Turns): Promise<void> {
  const upper = mounts[0]?.options.find((option) => option.startsWith("upperdir="));
  using source = new Root(openMounts(from));
  using target = upper ? Root.open(upper.slice("upperdir=".length)) : new Root(openMounts(mounts));
  const fd = source.openDirectory("");
  try {
    const into = target.openDirectory("");
    const tree = new Linker(into);
    try {
      await walk(fd, "", ignoring(undefined), tree, turns);
    } finally {
      tree.close();
    }
  } finally {
    rawSyscall("close", fd);
  }
}

/** Puts every entry under its name in place of what is there; files share their data where the file system allows. */
class Linker implements Visitor {
  readonly #levels: number[];
  readonly #links = new Map<string, string>();
  /** False when the trees are on two file systems, or one is seen through an overlay. */
  #canLink = true;

  constructor(root: number) {
    this.#levels = [root];
  }

  close(): void {
    for (const fd of this.#levels.splice(0)) rawSyscall("close", fd);
  }

  file(parent: number, name: Uint8Array, stat: Stat, path: string): void {
    const into = this.#levels.at(-1)!;
    const text = textOf(name);
    if (this.#canLink && this.#link(parent, name, into, text)) return;
    const type = stat.mode & S_IFMT;
    if (stat.nlink > 1 && this.#linkAgain(stat, into, name, path)) return;
    removeTreeAt(into, text);
    if (type === S_IFREG) copyData(parent, text, into, text, stat.size);
    else if (type === S_IFLNK)
      check(rawSyscall("symlinkat", cString(readLinkAt(parent, name)), into, name), "symlink", path);
    else check(rawSyscall("mknodat", into, name, type | 0o600, stat.rdev), "mknod", path);
    copyMetadata(parent, text, stat, into, text);
  }

  enter(_parent: number, name: Uint8Array, _stat: Stat, path: string): void {
    const into = this.#levels.at(-1)!;
    const made = rawSyscall("mkdirat", into, name, 0o700);
    if (made === EEXIST) {
      const there = statAt(into, name);
      if (!there || (there.mode & S_IFMT) !== S_IFDIR) {
        removeTreeAt(into, textOf(name));
        check(rawSyscall("mkdirat", into, name, 0o700), "mkdir", path);
      }
    } else check(made, "mkdir", path);
    this.#levels.push(check(enter(into, name), "open", path));
  }

  leave(parent: number, name: Uint8Array, stat: Stat, path: string): void {
    rawSyscall("close", this.#levels.pop()!);
    const into = this.#levels.at(-1)!;
    const text = textOf(name);
    copyMetadata(parent, text, stat, into, text);
    check(rawSyscall("fchownat", into, name, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW), "chown", path);
    check(rawSyscall("fchmodat", into, name, stat.mode & 0o7777), "chmod", path);
    setTimesAt(into, name, stat.atimeNs, stat.mtimeNs);
  }

  #link(parent: number, name: Uint8Array, into: number, text: string): boolean {
    let result = rawSyscall("linkat", parent, name, into, name, 0);
    if (result === EEXIST) {
      removeTreeAt(into, text);
      result = rawSyscall("linkat", parent, name, into, name, 0);
    }
    // EXDEV stays so; EMLINK and others concern this file only.
    if (result === -18) this.#canLink = false;
    return result === 0;
  }

  /** Names of one file stay names of one file where data had to be copied. */
  #linkAgain(stat: Stat, into: number, name: Uint8Array, path: string): boolean {
    const key = `${stat.dev}:${stat.ino}`;
    const first = this.#links.get(key);
    if (first === undefined) {
      this.#links.set(key, path);
      return false;
    }
    removeTreeAt(into, textOf(name));
    return rawSyscall("linkat", this.#levels[0]!, cString(first), into, name, 0) === 0;
  }
}

const textOf = (name: Uint8Array): string =>
  Buffer.from(name.buffer, name.byteOffset, name.length - 1).toString("latin1");

function check(result: number, call: string, path: string): number {
  if (result < 0) throw new SyscallError(call, -result, shown(path));
  return result;
}
