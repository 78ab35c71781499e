import { closeSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { cString, displayName, openDirectoryAt, readDirectory } from "../sys/directory.ts";
import { rawSyscall, SyscallError } from "../sys/libc.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, type Stat, statAt, statFd } from "../sys/stat.ts";
import { copyData, copyMetadata } from "./copy-file.ts";

/** After so many entries other work gets its turn. */
const breath = 200;

/**
 * Copies the contents and attributes of one directory into another that exists and is empty: owners, modes,
 * times, extended attributes, device nodes, and hard links among the files. Sockets are left out.
 */
export async function copyTree(from: string, to: string): Promise<void> {
  const links = new Map<string, string>();
  let entries = 0;
  const toRoot = openSync(to, "r");

  const copyEntry = (fromFd: number, toFd: number, name: string, stat: Stat, path: string): void => {
    const bytes = cString(name);
    const type = stat.mode & S_IFMT;
    if (stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = links.get(key);
      if (first !== undefined) {
        const linked = rawSyscall("linkat", toRoot, cString(first), toFd, bytes, 0);
        if (linked < 0) throw new SyscallError("link", -linked, displayName(path));
        return;
      }
      links.set(key, path);
    }
    if (type === S_IFREG) copyData(fromFd, name, toFd, name, stat.size);
    else if (type === S_IFLNK) {
      const buffer = Buffer.alloc(4096);
      const length = rawSyscall("readlinkat", fromFd, bytes, buffer, buffer.length);
      if (length < 0) throw new SyscallError("readlink", -length, displayName(path));
      const made = rawSyscall("symlinkat", cString(buffer.toString("latin1", 0, length)), toFd, bytes);
      if (made < 0) throw new SyscallError("symlink", -made, displayName(path));
    } else {
      const made = rawSyscall("mknodat", toFd, bytes, type | 0o600, stat.rdev);
      if (made < 0) throw new SyscallError("mknod", -made, displayName(path));
    }
    copyMetadata(fromFd, name, stat, toFd, name);
  };

  const copyDirectory = async (fromFd: number, toFd: number, prefix: string): Promise<void> => {
    for (const { name } of readDirectory(fromFd)) {
      if (++entries % breath === 0) await new Promise((done) => setImmediate(done));
      const stat = statAt(fromFd, cString(name));
      const path = prefix === "" ? name : `${prefix}/${name}`;
      if (!stat || (stat.mode & S_IFMT) === S_IFSOCK) continue;
      if ((stat.mode & S_IFMT) !== S_IFDIR) {
        copyEntry(fromFd, toFd, name, stat, path);
        continue;
      }
      const made = rawSyscall("mkdirat", toFd, cString(name), 0o700);
      if (made < 0) throw new SyscallError("mkdir", -made, displayName(path));
      const fromChild = openDirectoryAt(fromFd, name);
      try {
        const toChild = openDirectoryAt(toFd, name);
        try {
          await copyDirectory(fromChild, toChild, path);
        } finally {
          closeSync(toChild);
        }
      } finally {
        closeSync(fromChild);
      }
      copyMetadata(fromFd, name, stat, toFd, name);
    }
  };

  try {
    const fromRoot = openSync(from, "r");
    try {
      await copyDirectory(fromRoot, toRoot, "");
      const fromParent = openSync(dirname(from), "r");
      const toParent = openSync(dirname(to), "r");
      try {
        copyMetadata(fromParent, latin1(basename(from)), statFd(fromRoot), toParent, latin1(basename(to)));
      } finally {
        closeSync(fromParent);
        closeSync(toParent);
      }
    } finally {
      closeSync(fromRoot);
    }
  } finally {
    closeSync(toRoot);
  }
}

const latin1 = (text: string) => Buffer.from(text).toString("latin1");
