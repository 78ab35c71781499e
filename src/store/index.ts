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
export type { Garbage, GcMetadata, Labels } from "./gc.ts";
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
export type { SnapshotInfo, SnapshotKind, SnapshotOptions, Snapshotter, Usage } from "./snapshots/types.ts";
// Functions that follow, with these signatures:
//   openOverlayfs(root: string): Promise<Snapshotter>        openNative(root: string): Promise<Snapshotter>
//   applyLayer(target: LayerTarget, source: LayerSource, options?: ApplyOptions): Promise<AppliedLayer>
//   writeDiff(lower: LayerTarget | undefined, upper: LayerTarget, options?: DiffOptions): LayerDiff
//   collectGarbage(metadata: GcMetadata): Garbage
//   withMounts(mounts, (root: string) => Promise<T>): Promise<T>   (sys/mount.ts: a temporary mount)
