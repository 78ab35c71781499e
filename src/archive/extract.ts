/**
 * Puts the entries of a layer into a directory (image-spec layer.md, "Applying Changesets"). Every lookup is
 * made inside the root by the kernel; what is there already is replaced, except a directory by a directory.
 */
import { CortenError, conflict, invalid } from "../base/errors.ts";
import { cString, displayName, readDirectory, removeTreeAt } from "../sys/directory.ts";
import { rawSyscall, SyscallError } from "../sys/libc.ts";
import { O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../sys/open.ts";
import { setTimesAt, setTimesFd } from "../sys/rootfs/index.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  makeDevice,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  statAt,
} from "../sys/stat.ts";
import { trySetXattrAt, trySetXattrFd } from "../sys/xattr.ts";
import { copyData, copyMetadata, writeFully } from "./copy-file.ts";
import { Directories, isWhiteout, setOpaque } from "./directories.ts";
import type { LowerLayers } from "./lowers.ts";
import { baseOf, cleanPath, join, parentOf, type Whiteout, whiteoutOf } from "./paths.ts";
import type { TarEntry } from "./tar/entry.ts";
import type { TarSink } from "./tar/reader.ts";

const ENOENT = -2;
const EEXIST = -17;
const EOPNOTSUPP = -95;

export interface ExtractOptions {
  /** Names that begin with `.wh.` are files like others, and the root stays as it is: the archive is no layer. */
  plain?: boolean;
  /** Everything belongs to this one, whatever the archive says. */
  owner?: { uid: number; gid: number };
  /** Attributes that cannot be set are left out, whatever the reason. */
  lenient?: boolean;
  /** A directory does not become something else, nor the other way round; the place's name for the message. */
  keepKinds?: string;
  /** Told of every entry before it is made; refuses by throwing. */
  check?: (entry: TarEntry) => void;
  /** Told of every regular file when all of it is there. */
  file?: (fd: number, entry: TarEntry) => void;
}

export class Extractor implements TarSink, Disposable {
  readonly #options: ExtractOptions;
  readonly #directories: Directories;
  readonly #lowers: LowerLayers | undefined;
  /** Paths this layer brought, with their parents: its own whiteouts do not concern them. */
  readonly #unpacked = new Set<string>();
  /** Directories' times are set last, for what is put into them changes them. */
  readonly #directoryTimes = new Map<string, { atimeNs: bigint; mtimeNs: bigint }>();
  #file: { fd: number; entry: TarEntry; name: string } | undefined;

  /** `lowers` is given when `root` is the upper directory of an overlay: whiteouts become overlay's own. */
  constructor(root: string, lowers?: LowerLayers, options: ExtractOptions = {}) {
    this.#options = options;
    this.#directories = new Directories(root, lowers);
    this.#lowers = lowers;
  }

  entry(entry: TarEntry): void {
    const path = cleanPath(entry.path, "entry");
    const whiteout = this.#options.plain ? undefined : whiteoutOf(path);
    if (whiteout === "ignore") return;
    if (whiteout) {
      this.#whiteout(whiteout);
      return;
    }
    if (path === "") {
      if (entry.type !== "directory") throw invalid("layer: an entry would replace the root by no directory");
      if (!this.#options.plain) this.#applyToDirectory(this.#directories.enter(""), "", entry);
      return;
    }
    const parent = this.#directories.enter(parentOf(path));
    const name = baseOf(path);
    this.#refuseOtherKind(parent, name, path, entry);
    switch (entry.type) {
      case "file":
        this.#openFile(parent, name, entry);
        break;
      case "directory":
        this.#makeDirectory(parent, name, path, entry);
        break;
      case "symlink":
        this.#place(parent, name, () =>
          rawSyscall("symlinkat", cString(entry.linkPath), parent, cString(name)),
        );
        this.#finish(parent, name, entry);
        break;
      case "link":
        this.#link(parent, name, path, cleanPath(entry.linkPath, "hard link"));
        break;
      case "char":
      case "block":
      case "fifo":
        this.#makeNode(parent, name, entry);
        break;
    }
    this.#markUnpacked(path);
  }

  data(bytes: Uint8Array): void {
    if (this.#file) writeFully(this.#file.fd, bytes, this.#file.name);
  }

  end(): void {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    try {
      this.#applyToFd(file.fd, file.name, file.entry);
      setTimesFd(file.fd, accessTime(file.entry), file.entry.mtimeNs);
      this.#options.file?.(file.fd, file.entry);
    } finally {
      rawSyscall("close", file.fd);
    }
  }

  /** All entries came: what had to wait for them. */
  finish(): void {
    for (const [path, { atimeNs, mtimeNs }] of this.#directoryTimes) {
      if (path === "") {
        setTimesFd(this.#directories.enter(""), atimeNs, mtimeNs);
        continue;
      }
      const parent = this.#directories.find(parentOf(path));
      if (parent === undefined) continue;
      const name = cString(baseOf(path));
      const stat = statAt(parent, name);
      // It may have been replaced by something that has its own times.
      if (stat && (stat.mode & S_IFMT) === S_IFDIR) setTimesAt(parent, name, atimeNs, mtimeNs);
    }
  }

  [Symbol.dispose](): void {
    if (this.#file) rawSyscall("close", this.#file.fd);
    this.#file = undefined;
    this.#directories[Symbol.dispose]();
  }

  #refuseOtherKind(parent: number, name: string, path: string, entry: TarEntry): void {
    const { keepKinds } = this.#options;
    const stat = keepKinds === undefined ? undefined : statAt(parent, cString(name));
    if (!stat) return;
    const was = (stat.mode & S_IFMT) === S_IFDIR;
    if (was === (entry.type === "directory")) return;
    const [old, fresh] = was ? ["directory", "non-directory"] : ["non-directory", "directory"];
    const place = join(keepKinds === "/" ? "" : keepKinds!, path);
    throw new CortenError(
      "unknown",
      `cannot overwrite ${old} ${displayName(place.startsWith("/") ? place : `/${place}`)} with ${fresh} ${JSON.stringify(keepKinds)}`,
    );
  }

  #markUnpacked(path: string): void {
    for (let at = path; at !== "" && !this.#unpacked.has(at); at = parentOf(at)) this.#unpacked.add(at);
  }

  /** Makes something under a new name; whatever has the name already is removed first. */
  #place(parent: number, name: string, make: () => number): number {
    let result = make();
    if (result === EEXIST) {
      this.#remove(parent, name);
      result = make();
    }
    if (result < 0) throw new SyscallError("create", -result, `layer entry ${displayName(name)}`);
    return result;
  }

  /** Removes an entry; after a directory or symlink, kept descriptors may be those of something else. */
  #remove(parent: number, name: string): void {
    const type = (statAt(parent, cString(name))?.mode ?? 0) & S_IFMT;
    removeTreeAt(parent, name);
    if (type === S_IFDIR || type === S_IFLNK) this.#directories.markStale();
  }

  #openFile(parent: number, name: string, entry: TarEntry): void {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const fd = this.#place(parent, name, () => rawSyscall("openat", parent, cString(name), flags, 0o600));
    this.#file = { fd, entry, name };
  }

  #makeDirectory(parent: number, name: string, path: string, entry: TarEntry): void {
    const bytes = cString(name);
    const made = rawSyscall("mkdirat", parent, bytes, 0o700);
    if (made === EEXIST) {
      const stat = statAt(parent, bytes);
      if (!stat || (stat.mode & S_IFMT) !== S_IFDIR) {
        this.#place(parent, name, () => rawSyscall("mkdirat", parent, bytes, 0o700));
        // Removed and made anew in one layer: nothing of the old directory may show through.
        if (stat && this.#lowers && isWhiteout(stat)) setOpaque(parent, name);
      }
    } else if (made < 0) throw new SyscallError("mkdir", -made, displayName(path));
    const fd = rawSyscall("openat", parent, bytes, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) throw new SyscallError("open", -fd, displayName(path));
    this.#directories.adopt(path, fd);
    this.#applyToDirectory(fd, path, entry);
  }

  #applyToDirectory(fd: number, path: string, entry: TarEntry): void {
    this.#applyToFd(fd, path, entry);
    this.#directoryTimes.set(path, { atimeNs: accessTime(entry), mtimeNs: entry.mtimeNs });
  }

  #makeNode(parent: number, name: string, entry: TarEntry): void {
    const type = entry.type === "char" ? S_IFCHR : entry.type === "block" ? S_IFBLK : S_IFIFO;
    const device = entry.type === "fifo" ? 0n : makeDevice(entry.major, entry.minor);
    this.#place(parent, name, () => rawSyscall("mknodat", parent, cString(name), type | 0o600, device));
    this.#finish(parent, name, entry);
  }

  #link(parent: number, name: string, path: string, target: string): void {
    if (target === "") throw invalid(`layer: ${displayName(path)} is a hard link to the root`);
    const bytes = cString(name);
    const targetName = cString(baseOf(target));
    const link = (from: number) => rawSyscall("linkat", from, targetName, parent, bytes, 0);
    const from = this.#directories.find(parentOf(target));
    let result = from === undefined ? ENOENT : link(from);
    if (result === EEXIST && from !== undefined) {
      const old = statAt(parent, bytes);
      const wanted = statAt(from, targetName);
      if (old && wanted && old.ino === wanted.ino && old.dev === wanted.dev) return;
      this.#remove(parent, name);
      result = link(from);
    }
    if (result === ENOENT) {
      if (this.#copyUp(parent, name, target)) return;
      throw conflict(
        `layer: ${displayName(path)} is a hard link to ${displayName(target)}, which does not exist`,
      );
    }
    if (result < 0) throw new SyscallError("link", -result, `${displayName(path)} to ${displayName(target)}`);
  }

  /** A hard link to a file of a lower layer: the overlay would copy it up, so this does. */
  #copyUp(parent: number, name: string, target: string): boolean {
    const lower = this.#lowers?.find(target);
    if (!lower) return false;
    try {
      if ((lower.stat.mode & S_IFMT) !== S_IFREG) return false;
      this.#remove(parent, name);
      copyData(lower.parentFd, lower.name, parent, name, lower.stat.size);
      copyMetadata(lower.parentFd, lower.name, lower.stat, parent, name);
      return true;
    } finally {
      lower.close();
    }
  }

  /** Owner, mode, attributes: chown clears setuid and capabilities, so it comes first. */
  #applyToFd(fd: number, name: string, entry: TarEntry): void {
    const { uid, gid } = this.#options.owner ?? entry;
    check(rawSyscall("fchown", fd, uid, gid), "chown", name);
    check(rawSyscall("fchmod", fd, entry.mode), "chmod", name);
    for (const { name: attribute, value } of entry.xattrs)
      if (isWanted(attribute)) this.#checkXattr(trySetXattrFd(fd, attribute, value), attribute, name);
  }

  /** The same for an entry that cannot be opened. */
  #finish(parent: number, name: string, entry: TarEntry): void {
    const bytes = cString(name);
    const { uid, gid } = this.#options.owner ?? entry;
    check(rawSyscall("fchownat", parent, bytes, uid, gid, AT_SYMLINK_NOFOLLOW), "chown", name);
    // The entry was made by this call and is no symlink, so chmod follows nothing.
    if (entry.type !== "symlink") check(rawSyscall("fchmodat", parent, bytes, entry.mode), "chmod", name);
    for (const { name: attribute, value } of entry.xattrs)
      if (isWanted(attribute))
        this.#checkXattr(trySetXattrAt(parent, name, attribute, value), attribute, name);
    setTimesAt(parent, bytes, accessTime(entry), entry.mtimeNs);
  }

  /** A file system without attributes of that kind keeps the file without them, as containerd does. */
  #checkXattr(result: number, attribute: string, name: string): void {
    if (result < 0 && result !== EOPNOTSUPP && !this.#options.lenient)
      throw new SyscallError("setxattr", -result, `${attribute} of layer entry ${displayName(name)}`);
  }

  /** image-spec layer.md#whiteouts: hides what lower layers have, never what this one brought. */
  #whiteout(whiteout: Whiteout): void {
    if (whiteout.kind === "opaque") this.#makeOpaque(whiteout.directory);
    else this.#hide(whiteout.path);
  }

  #makeOpaque(directory: string): void {
    if (!this.#lowers) {
      const fd = this.#directories.find(directory);
      if (fd !== undefined) this.#removeOlder(fd, directory);
      return;
    }
    const fd = this.#directories.enter(directory);
    check(trySetXattrFd(fd, "trusted.overlay.opaque", Buffer.from("y")), "setxattr", directory);
    if (directory !== "") this.#markUnpacked(directory);
  }

  #hide(path: string): void {
    const name = baseOf(path);
    const unpacked = this.#unpacked.has(path);
    if (!this.#lowers) {
      const parent = this.#directories.find(parentOf(path));
      if (parent === undefined) return;
      if (!unpacked) this.#remove(parent, name);
      else if (isDirectory(parent, name)) this.#removeOlder(this.#directories.enter(path), path);
      return;
    }
    const parent = this.#directories.enter(parentOf(path));
    if (unpacked) {
      if (isDirectory(parent, name)) setOpaque(parent, name);
      return;
    }
    this.#place(parent, name, () => rawSyscall("mknodat", parent, cString(name), S_IFCHR, 0));
  }

  /** Empties a directory of everything this layer did not bring. */
  #removeOlder(fd: number, path: string): void {
    for (const { name } of readDirectory(fd)) {
      const child = join(path, name);
      if (!this.#unpacked.has(child)) this.#remove(fd, name);
      else if (isDirectory(fd, name)) {
        const childFd = rawSyscall(
          "openat",
          fd,
          cString(name),
          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        );
        if (childFd < 0) continue;
        try {
          this.#removeOlder(childFd, child);
        } finally {
          rawSyscall("close", childFd);
        }
      }
    }
  }
}

/** As containerd: an access time older than the modification time makes no sense. */
function accessTime(entry: TarEntry): bigint {
  const { atimeNs, mtimeNs } = entry;
  return atimeNs !== undefined && atimeNs > mtimeNs ? atimeNs : mtimeNs;
}

function isDirectory(parent: number, name: string): boolean {
  const stat = statAt(parent, cString(name));
  return stat !== undefined && (stat.mode & S_IFMT) === S_IFDIR;
}

/** Overlay's own attributes (redirects, whiteouts) steer the mount: a layer must not bring them. */
function isWanted(attribute: string): boolean {
  return !attribute.startsWith("trusted.overlay.") && !attribute.startsWith("user.overlay.");
}

function check(result: number, call: string, name: string): void {
  if (result < 0) throw new SyscallError(call, -result, `layer entry ${displayName(name)}`);
}
