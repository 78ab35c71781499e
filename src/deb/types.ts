import type { Digest } from "../oci/digest.ts";
import type { Descriptor, ImageConfig, Manifest, Platform } from "../oci/image-spec.ts";

/** Where composed content goes; containerd's content service implements it in a few lines. */
export interface ContentSink {
  /** True when the content is already there (and will not be collected while the build runs). */
  has(digest: Digest): Promise<boolean>;
  /** Takes content whose digest is known; the sink verifies it on commit. Must accept what it already has. */
  put(
    descriptor: Descriptor,
    bytes: AsyncIterable<Uint8Array>,
    /** Digests the content refers to (of a manifest: config and layers), for the collector's labels. */
    references?: Digest[],
  ): Promise<void>;
  /**
   * Reads content that was put. With it the .deb files go through the sink (and stay there as long as it keeps
   * them); without, they pass through a file in `cacheDir`.
   */
  open?(digest: Digest): AsyncIterable<Uint8Array>;
}

export type DebEvent =
  | { kind: "release"; source: string; state: "cached" | "verified" | "skipped"; reason?: string }
  | { kind: "index"; source: string; offset: number; total: number }
  | { kind: "resolved"; packages: number; downloadBytes: number }
  | { kind: "download"; package: string; offset: number; total: number }
  | { kind: "layer"; package: string; descriptor: Descriptor; state: "cached" | "composed" }
  | { kind: "warning"; message: string };

export interface DebImageOptions {
  sink: ContentSink;
  /** Release files, indexes, and the table from package to layer digest; safe to delete at any time. */
  cacheDir: string;
  /** Default: the machine's. */
  platform?: Platform;
  /** In place of /etc/apt: holds sources.list, sources.list.d, trusted.gpg, trusted.gpg.d. */
  aptDir?: string;
  /** Overrides the choice made from the packages; `[]` for none. */
  entrypoint?: string[];
  cmd?: string[];
  env?: string[];
  labels?: Record<string, string>;
  user?: string;
  workingDir?: string;
  exposedPorts?: string[];
  /** How long release files are used without asking the archive again, in seconds; default 3600. */
  maxAge?: number;
  onProgress?: (event: DebEvent) => void;
  signal?: AbortSignal;
}

/** One package of an image. */
export interface DebPackageInfo {
  name: string;
  version: string;
  architecture: string;
  /** Of the .deb file. */
  sha256: string;
  requested: boolean;
  layer: Descriptor;
}

export interface DebImage {
  /** `deb:` and the packages, as normalised (sorted) text. */
  name: string;
  /** Of the manifest, which is in the sink like everything it names. */
  descriptor: Descriptor;
  manifest: Manifest;
  config: ImageConfig;
  layers: Descriptor[];
  packages: DebPackageInfo[];
}
