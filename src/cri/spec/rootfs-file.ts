import { closeSync, readSync } from "node:fs";
import { openInRoot } from "../../sys/rootfs/index.ts";

/** No passwd or group file is larger than this. */
const limit = 4 << 20;
const ENOENT = 2;
const ENOTDIR = 20;

/** A small file's text, its path resolved inside of the root; "" when there is none. */
export function readTextIn(root: number, path: string): string {
  const fd = openInRoot(root, path, 0);
  if (fd === -ENOENT || fd === -ENOTDIR) return "";
  if (fd < 0) throw new Error(`cannot open ${path} in the root filesystem: errno ${-fd}`);
  try {
    const buffer = Buffer.alloc(limit);
    let length = 0;
    for (let read = 1; read > 0 && length < limit; length += read)
      read = readSync(fd, buffer, length, limit - length, null);
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}
