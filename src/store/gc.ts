import type { Digest } from "../oci/digest.ts";

/** Everything the collector has to know, read by the caller in one transaction. */
export interface GcMetadata {
  now: Date;
  leases: Array<{
    namespace: string;
    id: string;
    labels: Labels;
    /** `type` as in the leases API: `content`, `ingests`, `images`, `snapshots/<snapshotter>`. */
    resources: Array<{ type: string; id: string }>;
  }>;
  images: Array<{ namespace: string; name: string; target: Digest; labels: Labels }>;
  containers: Array<{
    namespace: string;
    id: string;
    snapshotter: string;
    snapshotKey: string;
    labels: Labels;
  }>;
  contents: Array<{ namespace: string; digest: Digest; labels: Labels }>;
  snapshots: Array<{ namespace: string; snapshotter: string; name: string; parent: string; labels: Labels }>;
  ingests: Array<{ namespace: string; ref: string; expireAt?: Date }>;
}

export type Labels = Readonly<Record<string, string>>;

/** What nothing holds any more, in an order in which it can be deleted (children before parents). */
export interface Garbage {
  leases: Array<{ namespace: string; id: string }>;
  images: Array<{ namespace: string; name: string }>;
  contents: Array<{ namespace: string; digest: Digest }>;
  snapshots: Array<{ namespace: string; snapshotter: string; name: string }>;
  ingests: Array<{ namespace: string; ref: string }>;
}
