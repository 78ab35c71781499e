/** Snapshots as overlayfs layers: `snapshots/<n>/fs`, and `work` beside it for writable ones. */
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf, unimplemented } from "../../base/errors.ts";
import { MNT_DETACH, type Mount, mountAt, unmountAll } from "../../sys/mount.ts";
import { BaseSnapshotter } from "./base.ts";
import type { StoredSnapshot } from "./metadata.ts";
import type { Snapshotter } from "./types.ts";

/** Opens (and makes) the snapshotter below `root`; throws `unimplemented` where overlayfs does not work. */
export async function openOverlayfs(root: string): Promise<Snapshotter> {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  checkSupport(root);
  return new OverlayfsSnapshotter(root);
}

/** Mounts a small overlay on the file system in question: the only answer that counts. */
function checkSupport(root: string): void {
  const probe = mkdtempSync(join(root, "probe-"));
  const at = (name: string) => join(probe, name);
  try {
    for (const name of ["lower1", "lower2", "upper", "work", "merged"]) mkdirSync(at(name));
    const options = [
      `lowerdir=${at("lower1")}:${at("lower2")}`,
      `upperdir=${at("upper")}`,
      `workdir=${at("work")}`,
    ];
    mountAt({ type: "overlay", source: "overlay", options }, at("merged"));
    unmountAll(at("merged"), MNT_DETACH);
  } catch (error) {
    throw unimplemented(`overlayfs does not work on ${root}: ${messageOf(error)}`);
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

class OverlayfsSnapshotter extends BaseSnapshotter {
  readonly name = "overlayfs";

  protected data(id: number): string {
    return join(this.directory(id), "fs");
  }

  protected make(path: string, snapshot: StoredSnapshot): void {
    const fs = join(path, "fs");
    mkdirSync(fs, { mode: 0o755 });
    chmodSync(fs, 0o755);
    if (snapshot.info.kind === "active") mkdirSync(join(path, "work"), { mode: 0o711 });
    // The root of an overlay has the attributes of its upper directory, so they go up from the parent.
    const parent = snapshot.parents[0];
    if (parent === undefined) return;
    const { uid, gid, mode } = lstatSync(this.data(parent));
    chownSync(fs, uid, gid);
    chmodSync(fs, mode & 0o7777);
  }

  protected mountsOf({ id, info, parents }: StoredSnapshot): Mount[] {
    const nearest = parents[0];
    if (nearest === undefined)
      return [
        {
          type: "bind",
          source: this.data(id),
          options: [info.kind === "view" ? "ro" : "rw", "rbind"],
        },
      ];
    if (info.kind === "view" && parents.length === 1)
      return [{ type: "bind", source: this.data(nearest), options: ["ro", "rbind"] }];
    const options = ["index=off"];
    if (info.kind === "active")
      options.push(`workdir=${join(this.directory(id), "work")}`, `upperdir=${this.data(id)}`);
    options.push(`lowerdir=${parents.map((parent) => escapePath(this.data(parent))).join(":")}`);
    return [{ type: "overlay", source: "overlay", options }];
  }
}

/** Colons separate the layers of `lowerdir`. */
const escapePath = (path: string) => path.replace(/[\\:,]/g, "\\$&");
