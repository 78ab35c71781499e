/** Goes through what is copied, in the order of names, for whoever digests, counts or copies it. */
import { cString, displayName, readDirectory } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { type ManyStat, S_IFDIR, S_IFMT, statManyAt } from "../../sys/stat.ts";
import type { Filter } from "./filter.ts";
import { enter } from "./root.ts";
import type { Turns } from "./turns.ts";

export interface Visitor {
  /** `path` is from the source; `parent` the open directory that `name` (NUL-terminated) is in. Long work may wait. */
  file(parent: number, name: Uint8Array, stat: ManyStat, path: string): void | Promise<void>;
  /** Before what is in a directory; `wanted` is false for one that is there only for the sake of what is below. */
  enter(parent: number, name: Uint8Array, stat: ManyStat, path: string, wanted: boolean): void;
  leave(parent: number, name: Uint8Array, stat: ManyStat, path: string, wanted: boolean): void;
}

/** The content of the open directory `fd` at `path`. */
export async function walk(
  fd: number,
  path: string,
  filter: Filter,
  visitor: Visitor,
  turns: Turns,
): Promise<void> {
  const prefix = path === "" ? "" : `${path}/`;
  for (const { name } of readDirectory(fd).sort(byName)) {
    if (turns.due) await turns.pause();
    const child = prefix + name;
    const wanted = filter.wants(child);
    const bytes = cString(name);
    const stat = statManyAt(fd, name);
    if (!stat) continue;
    if ((stat.mode & S_IFMT) !== S_IFDIR) {
      if (!wanted) continue;
      const more = visitor.file(fd, bytes, stat, child);
      if (more) await more;
      continue;
    }
    if (!wanted && !filter.mayWantBelow(child)) continue;
    const into = enter(fd, bytes);
    if (into < 0) throw new SyscallError("open", -into, displayName(child));
    try {
      if (wanted) {
        visitor.enter(fd, bytes, stat, child, true);
        await walk(into, child, filter, visitor, turns);
        visitor.leave(fd, bytes, stat, child, true);
      } else {
        const delayed = new Delayed(visitor, fd, bytes, stat, child);
        await walk(into, child, filter, delayed, turns);
        delayed.finish();
      }
    } finally {
      rawSyscall("close", into);
    }
  }
}

/** A directory that is not wanted itself comes to be with the first wanted entry below it. */
class Delayed implements Visitor {
  readonly #inner: Visitor;
  readonly #parent: number;
  readonly #name: Uint8Array;
  readonly #stat: ManyStat;
  readonly #path: string;
  #entered = false;

  constructor(inner: Visitor, parent: number, name: Uint8Array, stat: ManyStat, path: string) {
    this.#inner = inner;
    this.#parent = parent;
    this.#name = name;
    this.#stat = stat;
    this.#path = path;
  }

  file(parent: number, name: Uint8Array, stat: ManyStat, path: string): void | Promise<void> {
    this.#need();
    return this.#inner.file(parent, name, stat, path);
  }

  enter(parent: number, name: Uint8Array, stat: ManyStat, path: string, wanted: boolean): void {
    this.#need();
    this.#inner.enter(parent, name, stat, path, wanted);
  }

  leave(parent: number, name: Uint8Array, stat: ManyStat, path: string, wanted: boolean): void {
    this.#inner.leave(parent, name, stat, path, wanted);
  }

  finish(): void {
    if (this.#entered) this.#inner.leave(this.#parent, this.#name, this.#stat, this.#path, false);
  }

  #need(): void {
    if (this.#entered) return;
    this.#entered = true;
    this.#inner.enter(this.#parent, this.#name, this.#stat, this.#path, false);
  }
}

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
