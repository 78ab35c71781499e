import type { FileChange, SnapshotMount } from "../../dockerd/index.ts";
import { openChanges } from "../../store/index.ts";
import type { Tree } from "./rootfs-tree.ts";

/** What differs between two trees, as Docker lists it: what is new, other, or gone, and the directories on the way there. */
export async function listChanges(
  lower: readonly SnapshotMount[],
  upper: readonly SnapshotMount[],
  withLower: <T>(work: (tree: Tree) => T) => Promise<T>,
): Promise<FileChange[]> {
  using found = await openChanges({ mounts: lower }, { mounts: upper });
  return await withLower((tree) => {
    const kinds = new Map<string, FileChange>();
    const named = (path: string) => `/${Buffer.from(path, "latin1").toString("utf8")}`;
    const has = (path: string) => tree.stat(path, { follow: false });
    const add = (path: string, kind: FileChange["kind"], directory: boolean) =>
      void kinds.set(path, { path, kind, directory });
    for (const change of found.changes) {
      const path = named(change.path);
      if (path === "/") continue;
      if (change.kind === "whiteout") add(path, "deleted", false);
      else if (change.kind === "opaque") {
        const below = path === "/" ? "" : path;
        for (const name of tree.names(path))
          if (!kinds.has(`${below}/${name}`)) add(`${below}/${name}`, "deleted", false);
      } else {
        const before = has(path);
        const directory = (change.stat.mode & 0o170000) === 0o040000;
        // The overlay keeps a directory for what is in it: alone, it is no change.
        if (
          before?.isDirectory &&
          directory &&
          before.mode === change.stat.mode &&
          before.mtimeNs === change.stat.mtimeNs
        )
          continue;
        add(path, before ? "modified" : "added", directory);
      }
    }
    for (const path of [...kinds.keys()])
      for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
        const parent = path.slice(0, at);
        if (!kinds.has(parent)) add(parent, "modified", true);
      }
    return [...kinds.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  });
}
