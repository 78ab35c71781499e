import type { Digest } from "../../oci/digest.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  type Manifest,
  mediaTypes,
} from "../../oci/image-spec.ts";
import { ingestBlob } from "./blob.ts";
import { readJson, readManifest } from "./read-image.ts";
import type { ContainerdClient } from "./types.ts";

/** Writes a configuration and the manifest of it and of layers that are in the store. The client has a lease. */
export async function writeImage(
  client: ContainerdClient,
  config: ImageConfig | Uint8Array,
  layers: readonly Descriptor[],
): Promise<{ target: Descriptor; config: Digest }> {
  const oci = layers.some(({ mediaType }) => mediaType.startsWith("application/vnd.oci."));
  const bytes = config instanceof Uint8Array ? config : encode(config);
  const written = await put(client, bytes);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: oci ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
    config: { mediaType: oci ? mediaTypes.ociConfig : mediaTypes.dockerConfig, ...written },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  const target = { mediaType: manifest.mediaType!, ...(await put(client, encode(manifest))) };
  await referToContent(client, target);
  return { target, config: written.digest };
}

/** Labels a manifest, or an index and what it has of here, with what they refer to: the collector then keeps it. */
export async function referToContent(client: ContainerdClient, target: Descriptor, depth = 0): Promise<void> {
  const references: Array<readonly [string, Digest]> = [];
  if (isIndexType(target.mediaType)) {
    const { manifests = [] } = await readJson<Index>(client, target.digest, "index");
    for (const [index, child] of manifests.entries()) {
      references.push([`m.${index}`, child.digest]);
      const here = await client.content.info({ digest: child.digest }).then(
        () => true,
        () => false,
      );
      if (here && depth < 4) await referToContent(client, child, depth + 1);
    }
  } else {
    const { manifest } = await readManifest(client, target);
    references.push(["config", manifest.config.digest]);
    for (const [index, layer] of manifest.layers.entries()) references.push([`l.${index}`, layer.digest]);
  }
  const labels = Object.fromEntries(
    references.map(([key, digest]) => [`containerd.io/gc.ref.content.${key}`, digest]),
  );
  const paths = Object.keys(labels).map((key) => `labels.${key}`);
  if (paths.length > 0)
    await client.content.update({ info: { digest: target.digest, labels }, updateMask: { paths } });
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function put(client: ContainerdClient, bytes: Uint8Array): Promise<{ digest: Digest; size: number }> {
  return ingestBlob(client, { ref: `corten-document-${crypto.randomUUID()}` }, once(bytes));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
