/** What the exporters are given besides the result, and what the cache and the solver must offer them. */
import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { BuildServices, Layer } from "../types.ts";

/** Keeps what an export finds out about a layer (diff id, blob) with the cache's record of its snapshot. */
export interface LayerMemory {
  /** Diff id and blob of a snapshot, when an earlier export wrote them and the blob is still there. */
  recall(snapshot: string): Promise<Pick<Layer, "diffId" | "blob"> | undefined>;
  /** The blob is held by the build's lease; the memory adds it to the record's. */
  remember(layer: Layer): Promise<void>;
}

/** Something the build was made from, for the provenance: an image, a git commit, a file of the network. */
export interface Material {
  /** Package URL (`pkg:docker/busybox@latest?platform=linux%2Famd64`) or the URL itself. */
  uri: string;
  /** Algorithm to hex: `sha256` for images and files, `sha1` for commits. */
  digest: Readonly<Record<string, string>>;
}

/** What the provenance says beyond the request; all of it is known to the frontend and the solver. */
export interface ProvenanceFacts {
  startedAt: Date;
  materials: readonly Material[];
  /** The Dockerfile, for mode=max. */
  source?: { filename: string; data: Uint8Array; language: string };
  /** False when a RUN had a network or a source was not pinned. */
  hermetic?: boolean;
}

export interface ExportContext {
  /** Holds what it makes by the build's lease. */
  readonly client: ContainerdClient;
  readonly snapshotter: string;
  readonly services: BuildServices;
  readonly layers: LayerMemory;
  readonly provenance: ProvenanceFacts;
  /** What `--cache-to type=inline` puts into the image's config. */
  readonly inlineCache?: readonly CacheRecord[];
  /** Reference of the build (`buildx.build.ref`); absent: not reported. */
  readonly buildRef?: string;
}

/** A step that was evaluated, as a cache is exported and imported: keys are docs/build.md's. */
export interface CacheRecord {
  /** Canonical key of the result, which keys of what is built on it are made from. */
  key: Digest;
  /** Other keys that lead to it: of the definition, of the content of what is copied. */
  aliases: readonly Digest[];
  /** Bottom first; none is the empty root filesystem. */
  layers: readonly Layer[];
  createdAt?: Date;
  /** True for steps whose layers are part of the final result: what mode=min keeps. */
  final: boolean;
}

/** A cache somewhere else. Looking up costs nothing; layers come when they are asked for. */
export interface ImportedCache {
  /** Shown in progress: `registry:localhost:5000/x:cache`. */
  readonly name: string;
  lookup(key: Digest): ImportedRecord | undefined;
}

export interface ImportedRecord {
  /** Canonical, as in `CacheRecord`. */
  readonly key: Digest;
  /** Brings the blobs and unpacks them; the snapshots are held by the lease of the client given. */
  load(client: ContainerdClient, signal: AbortSignal): Promise<Layer[]>;
}
