import type { ServiceImpl } from "@connectrpc/connect";
import type { Diff } from "../../../proto/gen/containerd/services/diff/v1/diff_pb.ts";
import { invalid, isCode, unimplemented } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { layerCompression, mediaTypes } from "../../oci/image-spec.ts";
import { applyLayer, type LayerCompression, writeDiff } from "../../store/index.ts";
import { plainMount } from "../../sys/mount.ts";
import type { NamespacedContent } from "../content/store.ts";
import { leaseOf, namespaceOf } from "../context.ts";

const outputTypes: Record<string, LayerCompression> = {
  [mediaTypes.ociLayer]: "none",
  [mediaTypes.ociLayerGzip]: "gzip",
  [mediaTypes.ociLayerZstd]: "zstd",
  [mediaTypes.dockerLayer]: "none",
  [mediaTypes.dockerLayerGzip]: "gzip",
};

/** Layers onto mounts and out of them, from and to the namespace's content. */
export function diffService(content: NamespacedContent): ServiceImpl<typeof Diff> {
  return {
    async apply(request, context) {
      const namespace = namespaceOf(context);
      const { diff, mounts } = request;
      if (!diff) throw invalid("diff descriptor is missing: invalid argument");
      // The compression is found from the bytes; the type must only be a layer's.
      if (layerCompression(diff.mediaType) === undefined)
        throw unimplemented(`currently unsupported media type ${diff.mediaType}: not implemented`);
      content.info(namespace, diff.digest);
      const applied = await span("store", "apply layer", () =>
        applyLayer(
          { mounts: mounts.map(plainMount) },
          { path: content.store.path(diff.digest) },
          { signal: context.signal },
        ),
      );
      return {
        applied: { mediaType: mediaTypes.ociLayer, digest: applied.diffId, size: BigInt(applied.size) },
      };
    },
    async diff(request, context) {
      const namespace = namespaceOf(context);
      const mediaType = request.mediaType || mediaTypes.ociLayerGzip;
      const compression = outputTypes[mediaType];
      if (!compression) throw unimplemented(`unsupported diff media type: ${mediaType}: not implemented`);
      const epoch = request.sourceDateEpoch;
      const made = writeDiff(
        // No mounts at all are an empty tree, as containerd's differ has it.
        request.left.length === 0 ? undefined : { mounts: request.left.map(plainMount) },
        { mounts: request.right.map(plainMount) },
        {
          compression,
          unhashed: compression === "none",
          ...(epoch ? { sourceDateEpoch: new Date(Number(epoch.seconds) * 1000) } : {}),
        },
      );
      // The stream may fail before anybody awaits the result.
      made.result.catch(() => {});
      const ref = request.ref || `diff-${crypto.randomUUID()}`;
      await using writer = await content.writer(namespace, leaseOf(context), ref, "", 0);
      if (writer.offset > 0) await writer.truncate(0);
      for await (const data of made.stream) await writer.write(data);
      const result = await made.result;
      const size = writer.offset;
      const digest = writer.digest();
      const diffId = compression === "none" ? digest : result.diffId;
      const labels = { ...request.labels, "containerd.io/uncompressed": diffId };
      try {
        await writer.commit(size, digest, labels);
      } catch (error) {
        if (!isCode(error, "already_exists")) throw error;
        await content.abort(namespace, ref).catch(() => {});
      }
      return { diff: { mediaType, digest, size: BigInt(size) } };
    },
  };
}
