import type { Client } from "@connectrpc/connect";
import type { Containers } from "../../../proto/gen/containerd/services/containers/v1/containers_pb.ts";
import type { Content } from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import type { Diff } from "../../../proto/gen/containerd/services/diff/v1/diff_pb.ts";
import type { Events } from "../../../proto/gen/containerd/services/events/v1/events_pb.ts";
import type { Images } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import type { Introspection } from "../../../proto/gen/containerd/services/introspection/v1/introspection_pb.ts";
import type { Leases } from "../../../proto/gen/containerd/services/leases/v1/leases_pb.ts";
import type { Namespaces } from "../../../proto/gen/containerd/services/namespaces/v1/namespace_pb.ts";
import type { Snapshots } from "../../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { Tasks } from "../../../proto/gen/containerd/services/tasks/v1/tasks_pb.ts";
import type { Version } from "../../../proto/gen/containerd/services/version/v1/version_pb.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Descriptor, ImageConfig, Manifest } from "../../oci/image-spec.ts";

/**
 * The published services for one namespace (and lease), wherever the daemon is. Every failed call
 * throws a CortenError whose code is the gRPC status and whose message is the daemon's text.
 */
export interface ContainerdClient {
  readonly containers: Client<typeof Containers>;
  readonly tasks: Client<typeof Tasks>;
  readonly images: Client<typeof Images>;
  readonly content: Client<typeof Content>;
  readonly snapshots: Client<typeof Snapshots>;
  readonly diff: Client<typeof Diff>;
  readonly leases: Client<typeof Leases>;
  readonly events: Client<typeof Events>;
  readonly namespaces: Client<typeof Namespaces>;
  readonly introspection: Client<typeof Introspection>;
  readonly version: Client<typeof Version>;
  readonly namespace: string;
  readonly lease: string | undefined;
  /** How much content one message should carry at most. */
  readonly pieceSize: number;
  /** The same connection with another namespace, or with a lease that protects what is made through it. */
  with(change: { namespace?: string; lease?: string }): ContainerdClient;
  close(): void;
}

/** States of one layer, in the words of Docker's pull progress. */
export type LayerStatus =
  | "Pulling fs layer"
  | "Waiting"
  | "Downloading"
  | "Verifying Checksum"
  | "Download complete"
  | "Extracting"
  | "Pull complete"
  | "Already exists";

/** Progress of one layer; `current`/`total` are bytes of the compressed blob, for Downloading and Extracting. */
export interface LayerProgress {
  digest: Digest;
  /** The first 12 hex digits, as Docker shows them. */
  id: string;
  status: LayerStatus;
  current?: number;
  total?: number;
}

/** An image as found in a content store: the record's target, and what it comes to on one platform. */
export interface ImageContent {
  target: Descriptor;
  /** Descriptor of the manifest chosen for the platform (the target itself when it is no index). */
  manifestDescriptor: Descriptor;
  manifest: Manifest;
  config: ImageConfig;
  /** Digests of the uncompressed layers. */
  diffIds: Digest[];
  /** Chain ids of the layers; the last is the name of the committed snapshot the rootfs starts from. */
  chainIds: Digest[];
}
