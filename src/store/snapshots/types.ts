import type { Mount } from "../../sys/mount.ts";

export type SnapshotKind = "active" | "view" | "committed";

export interface SnapshotInfo {
  kind: SnapshotKind;
  /** The key of an active snapshot or view, the name of a committed one. */
  name: string;
  /** Name of the committed parent, "" for none. */
  parent: string;
  labels: Record<string, string>;
  createdAt: Date;
  updatedAt: Date;
}

export interface Usage {
  /** Bytes this snapshot adds to its parents. */
  size: number;
  inodes: number;
}

export interface SnapshotOptions {
  labels?: Record<string, string>;
}

/**
 * containerd's snapshotter (docs: `core/snapshots/snapshotter.go`): keys of active snapshots and names
 * of committed ones share one namespace; only committed snapshots can be parents; mounts are given as
 * descriptions, the caller performs them.
 */
export interface Snapshotter extends AsyncDisposable {
  /** "overlayfs", "native". */
  readonly name: string;
  /** A writable snapshot on top of `parent` ("" for an empty one). */
  prepare(key: string, parent: string, options?: SnapshotOptions): Promise<Mount[]>;
  /** A read-only look at `parent`. */
  view(key: string, parent: string, options?: SnapshotOptions): Promise<Mount[]>;
  /** The mounts of an active snapshot or view. */
  mounts(key: string): Promise<Mount[]>;
  /** Turns the active snapshot `key` into the committed snapshot `name`; the key is gone then. */
  commit(name: string, key: string, options?: SnapshotOptions): Promise<void>;
  /** Fails with `failed_precondition` while others have it as parent. Disk space goes in the background. */
  remove(key: string): Promise<void>;
  stat(key: string): Promise<SnapshotInfo>;
  /** Replaces labels: all of them, or those named by `fieldpaths` (`labels`, `labels.<key>`). */
  update(info: Pick<SnapshotInfo, "name" | "labels">, fieldpaths?: readonly string[]): Promise<SnapshotInfo>;
  usage(key: string): Promise<Usage>;
  walk(visit: (info: SnapshotInfo) => void | Promise<void>): Promise<void>;
  /** Deletes the directories no snapshot refers to; resolves when they are gone. */
  cleanup(): Promise<void>;
  close(): Promise<void>;
}
