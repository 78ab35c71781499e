/**
 * Content, snapshots, layers and garbage: what an image is on disk. Interfaces and semantics are
 * containerd's; namespaces and content labels are the caller's metadata.
 */
export type { Mount } from "../sys/mount.ts";
export { openContentStore } from "./content/store.ts";
export type {
  CommitOptions,
  ContentInfo,
  ContentStore,
  ContentWriter,
  IngestStatus,
  ReaderAt,
  WriterOptions,
} from "./content/types.ts";
export { openChanges, writeDiff } from "./diff/write.ts";
export { collectGarbage, type Garbage, type GcMetadata, type Labels } from "./gc.ts";
export { applyLayer } from "./layer/apply.ts";
export type {
  AppliedLayer,
  ApplyOptions,
  DiffOptions,
  LayerCompression,
  LayerDiff,
  LayerLimits,
  LayerSource,
  LayerTarget,
} from "./layer/types.ts";
export { openNative } from "./snapshots/native.ts";
export { openOverlayfs } from "./snapshots/overlayfs.ts";
export type { SnapshotInfo, SnapshotKind, SnapshotOptions, Snapshotter, Usage } from "./snapshots/types.ts";
