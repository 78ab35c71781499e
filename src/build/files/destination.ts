/** The root filesystem that files are put on. */
import { parentOf } from "../../archive/paths.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { type Mount, openMounts } from "../../sys/mount.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../../sys/open.ts";
import { AT_SYMLINK_NOFOLLOW, S_IFDIR, S_IFMT, type Stat, statAt, statFd } from "../../sys/stat.ts";
import type { Owner } from "./owner.ts";
import { EEXIST, ENOENT, enter, Root, shown } from "./root.ts";

export class Destination implements Disposable {
  readonly root: Root;
  /** An overlay's upper directory. */
  readonly #upper: Root | undefined;
  /** Directories made since the beginning, by path: nothing but this has looked into them. */
  readonly #made = new Set<string>();

  constructor(mounts: readonly Mount[]) {
    this.root = new Root(openMounts(mounts, { volatile: true }));
    const upper = mounts[0]?.options.find((option) => option.startsWith("upperdir="));
    this.#upper = upper === undefined ? undefined : Root.open(upper.slice("upperdir=".length));
  }

  /** What `path` (no links in it) is; undefined when it is not there. */
  stat(path: string): Stat | undefined {
    if (path === "") return statFd(this.root.fd);
    return this.root.withParent(path, (fd, name) => statAt(fd, cString(name)));
  }

  isDirectory(path: string): boolean {
    return ((this.stat(path)?.mode ?? 0) & S_IFMT) === S_IFDIR;
  }

  /** Makes the directory `path` (no links in it) with its parents; what is there already stays as it is. */
  makeDirectories(path: string, mode: number, owner: Owner | undefined): void {
    const fd = this.root.open(path, O_PATH | O_DIRECTORY);
    if (fd >= 0) {
      rawSyscall("close", fd);
      return;
    }
    if (fd !== ENOENT || path === "") throw new SyscallError("mkdir", -fd, shown(path));
    this.makeDirectories(parentOf(path), mode, owner);
    this.makeDirectory(path, mode, owner);
  }

  /** Makes one directory whose parent exists; false when it was there. */
  makeDirectory(path: string, mode: number, owner: Owner | undefined): boolean {
    const made = this.root.withParent(path, (parent, name) => {
      const bytes = cString(name);
      const result = rawSyscall("mkdirat", parent, bytes, mode);
      if (result < 0) return result;
      // Exactly so: whatever the umask, and an inherited group.
      check(
        rawSyscall("fchownat", parent, bytes, owner?.uid ?? 0, owner?.gid ?? 0, AT_SYMLINK_NOFOLLOW),
        "chown",
        path,
      );
      check(rawSyscall("fchmodat", parent, bytes, mode), "chmod", path);
      return 0;
    });
    if (made === 0) {
      this.#made.add(path);
      return true;
    }
    if (made === EEXIST && this.isDirectory(path)) return false;
    throw new SyscallError("mkdir", -(made ?? ENOENT), shown(path));
  }

  /**
   * The directory `path` to put entries into. Of a directory made by us the one in the overlay's upper directory,
   * which saves the overlay's work for every entry: nobody has looked into it through the overlay yet, so that it has
   * nothing remembered that would become wrong. `direct` says which it is.
   */
  openDirectory(path: string): { fd: number; direct: boolean } {
    if (this.#upper && this.#made.has(path)) {
      this.#made.delete(path);
      const fd = this.#upper.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (fd >= 0) return { fd, direct: true };
    }
    return { fd: check(this.root.openDirectory(path), "open", path), direct: false };
  }

  /** As `openDirectory`, for `name` (NUL-terminated) in an open directory. */
  openChild(
    parent: number,
    name: Uint8Array,
    path: string,
    state: { direct: boolean; made: boolean },
  ): { fd: number; direct: boolean } {
    if (!state.direct && state.made && this.#upper) {
      const fd = this.#upper.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (fd >= 0) return { fd, direct: true };
    }
    return { fd: check(enter(parent, name), "open", path), direct: state.direct };
  }

  /** A directory opened for a hard link to something in it, in the same view of it as when that was made. */
  reopen(path: string, direct: boolean): number {
    const root = direct && this.#upper ? this.#upper : this.root;
    return check(root.open(path, O_PATH | O_DIRECTORY), "open", path);
  }

  [Symbol.dispose](): void {
    this.root[Symbol.dispose]();
    this.#upper?.[Symbol.dispose]();
  }
}

/** Where a destination as the Dockerfile has it leads: an entry of that name, or into a directory. */
export function isDirectoryName(path: string): boolean {
  return path.endsWith("/") || path.endsWith("/.") || path === "." || path === "";
}

function check(result: number, call: string, path: string): number {
  if (result < 0) throw new SyscallError(call, -result, shown(path));
  return result;
}
