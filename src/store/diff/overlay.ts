/** The quick way: the upper directory of an overlay holds exactly what differs from the layers below. */
import { closeSync, openSync } from "node:fs";
import { isWhiteout } from "../../archive/directories.ts";
import type { LowerLayers } from "../../archive/lowers.ts";
import { openDirectoryAt } from "../../sys/directory.ts";
import { getXattrAt } from "../../sys/xattr.ts";
import {
  Breather,
  type Change,
  changedRoot,
  childPath,
  isDirectory,
  layerXattrs,
  sortChanges,
  sortedEntries,
} from "./change.ts";

/**
 * Lists an upper directory; undefined when it refers to lower layers in a way only the overlay itself
 * resolves (redirects of renamed directories, files copied up without their data).
 */
export async function listUpper(
  upper: string,
  lowers: LowerLayers,
  lowerRoot: string,
): Promise<Change[] | undefined> {
  const changes: Change[] = [];
  const breather = new Breather();

  const visit = async (fd: number, path: string, hidden: boolean): Promise<boolean> => {
    for (const { name, stat } of sortedEntries(fd)) {
      await breather.step();
      const child = childPath(path, name);
      if (isWhiteout(stat)) {
        if (!hidden && exists(lowers, child)) changes.push({ kind: "whiteout", path: child });
        continue;
      }
      for (const attribute of ["trusted.overlay.redirect", "trusted.overlay.metacopy"])
        if (getXattrAt(fd, name, attribute)) return false;
      changes.push({ kind: "entry", path: child, stat, xattrs: layerXattrs(fd, name) });
      if (!isDirectory(stat)) continue;
      const opaque = getXattrAt(fd, name, "trusted.overlay.opaque")?.[0] === 0x79;
      // A directory made by the container is opaque too; the mark is only needed where it hides something.
      if (opaque && !hidden && exists(lowers, child)) changes.push({ kind: "opaque", path: child });
      const childFd = openDirectoryAt(fd, name);
      try {
        if (!(await visit(childFd, child, hidden || opaque))) return false;
      } finally {
        closeSync(childFd);
      }
    }
    return true;
  };

  const fd = openSync(upper, "r");
  try {
    const root = withFile(lowerRoot, (lowerFd) => changedRoot(lowerFd, fd));
    if (root) changes.push(root);
    return (await visit(fd, "", false)) ? sortChanges(changes) : undefined;
  } finally {
    closeSync(fd);
  }
}

function exists(lowers: LowerLayers, path: string): boolean {
  const found = lowers.find(path);
  found?.close();
  return found !== undefined;
}

function withFile<T>(path: string, work: (fd: number) => T): T {
  const fd = openSync(path, "r");
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}
