import type { ImageStore } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import { invalid } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Descriptor, Platform } from "../../oci/image-spec.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { hostPlatform } from "../client/read-image.ts";
import type { ContainerdClient } from "../client/types.ts";
import { toPlatform } from "./ends.ts";
import type { ProgressReporter } from "./progress.ts";

/** One transfer under way. The client has a lease, which holds what is made until an image record does. */
export interface TransferJob {
  client: ContainerdClient;
  progress: ProgressReporter;
  signal: AbortSignal;
}

export interface Unpacking {
  platform: Platform;
  snapshotter: string;
}

/**
 * What the request wants unpacked, as far as its snapshotters are known: layers of any platform are only files. A request of
 * which nothing is left is refused.
 */
export async function unpackings(job: TransferJob, store: ImageStore): Promise<Unpacking[]> {
  if (store.unpacks.length === 0) return [];
  const { plugins } = await job.client.introspection.plugins({
    filters: ["type==io.containerd.snapshotter.v1"],
  });
  const known = new Set(plugins.map(({ id }) => id));
  const found: Unpacking[] = [];
  for (const { platform: wanted, snapshotter: named } of store.unpacks) {
    const platform = wanted && wanted.os !== "" ? toPlatform(wanted) : hostPlatform();
    const snapshotter = named || "overlayfs";
    if (known.has(snapshotter)) found.push({ platform, snapshotter });
    else
      log.warn("unpack configuration not supported, skipping", {
        platform: formatPlatform(platform),
        snapshotter,
      });
  }
  if (found.length === 0)
    throw invalid("unable to initialize unpacker: no unpack platforms defined: invalid argument");
  return found;
}

/** An image's descriptor without what belongs to the index it was found in. */
export const plainDescriptor = ({ mediaType, digest, size, annotations }: Descriptor): Descriptor => ({
  mediaType,
  digest,
  size,
  ...(annotations ? { annotations } : {}),
});
