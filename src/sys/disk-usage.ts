import { closeSync, openSync } from "node:fs";
import { cString, openDirectoryAt, readDirectory } from "./directory.ts";
import { S_IFDIR, S_IFMT, statAt, statFd } from "./stat.ts";

/** After so many entries other work gets its turn. */
const breath = 2000;

/** Bytes in blocks and number of inodes below a directory, itself included; hard links count once. */
export async function diskUsage(path: string): Promise<{ size: number; inodes: number }> {
  let size = 0;
  let inodes = 0;
  let entries = 0;
  const seen = new Set<string>();
  const visit = async (fd: number): Promise<void> => {
    const own = statFd(fd);
    size += own.blocks * 512;
    inodes++;
    for (const { name } of readDirectory(fd)) {
      if (++entries % breath === 0) await new Promise((done) => setImmediate(done));
      const stat = statAt(fd, cString(name));
      if (!stat) continue;
      if ((stat.mode & S_IFMT) === S_IFDIR) {
        const child = openDirectoryAt(fd, name);
        try {
          await visit(child);
        } finally {
          closeSync(child);
        }
        continue;
      }
      if (stat.nlink > 1) {
        const key = `${stat.dev}:${stat.ino}`;
        if (seen.has(key)) continue;
        seen.add(key);
      }
      size += stat.blocks * 512;
      inodes++;
    }
  };
  const fd = openSync(path, "r");
  try {
    await visit(fd);
  } finally {
    closeSync(fd);
  }
  return { size, inodes };
}
