/** Snapshots as whole copies: works on every file system, shares blocks where the file system can. */
import { chmodSync } from "node:fs";
import { copyTree } from "../../archive/copy-tree.ts";
import type { Mount } from "../../sys/mount.ts";
import { BaseSnapshotter } from "./base.ts";
import type { StoredSnapshot } from "./metadata.ts";
import type { Snapshotter } from "./types.ts";

/** Opens (and makes) the snapshotter below `root`. */
export async function openNative(root: string): Promise<Snapshotter> {
  return new NativeSnapshotter(root);
}

class NativeSnapshotter extends BaseSnapshotter {
  readonly name = "native";

  protected data(id: number): string {
    return this.directory(id);
  }

  protected async make(path: string, snapshot: StoredSnapshot): Promise<void> {
    const parent = snapshot.parents[0];
    if (parent === undefined) {
      chmodSync(path, 0o755);
      return;
    }
    // A view needs no copy of its own, only its mount.
    if (snapshot.info.kind !== "view") await copyTree(this.data(parent), path);
  }

  protected mountsOf({ id, info, parents }: StoredSnapshot): Mount[] {
    const view = info.kind === "view";
    const source = view && parents[0] !== undefined ? this.data(parents[0]) : this.data(id);
    return [{ type: "bind", source, options: ["rbind", view ? "ro" : "rw"] }];
  }
}
