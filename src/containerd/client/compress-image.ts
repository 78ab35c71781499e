import { conflict } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { digestOf } from "../../oci/digest.ts";
import {
  type Descriptor,
  type Index,
  isIndexType,
  isManifestType,
  layerCompression,
  type Manifest,
} from "../../oci/image-spec.ts";
import { writeBlob } from "./blob.ts";
import { type CompressionChoice, compressedBefore, compressLayer } from "./compress.ts";
import { readJson } from "./read-image.ts";
import type { ContainerdClient } from "./types.ts";

/** By digest: makes a blob that is in the image but not in the store, because it was compressed before and went. */
export type MissingBlobs = Map<Digest, () => Promise<unknown>>;

/** Names, in an index, the manifest that an attestation is about. */
const attested = "vnd.docker.reference.digest";

/**
 * The image with its plain layers compressed; the others stay as they are. New manifests are held by the client's lease.
 * What was compressed before is not again: `missing` is told how, should anybody need it (a registry mostly has it).
 * An index with attestations is left alone: those name the manifests they are about in their signed text.
 */
export async function compressImage(
  client: ContainerdClient,
  target: Descriptor,
  choice: CompressionChoice,
  missing: MissingBlobs,
  signal?: AbortSignal,
): Promise<Descriptor> {
  if (isIndexType(target.mediaType)) {
    const index = await readJson<Index>(client, target.digest, "index");
    const before = index.manifests ?? [];
    if (before.some((child) => child.annotations?.[attested] !== undefined)) return target;
    const manifests: Descriptor[] = [];
    for (const child of before) manifests.push(await compressImage(client, child, choice, missing, signal));
    if (manifests.every((child, at) => child.digest === before[at]!.digest)) return target;
    return writeDocument(
      client,
      target,
      { ...index, manifests },
      manifests.map((child, at) => [`m.${at}`, child.digest]),
    );
  }
  if (!isManifestType(target.mediaType)) return target;
  const manifest = await readJson<Manifest>(client, target.digest, "manifest");
  const plain = (manifest.layers ?? []).filter((layer) => layerCompression(layer.mediaType) === "none");
  if (plain.length === 0) return target;
  const made = new Map<Digest, Descriptor>();
  await Promise.all(
    [...new Map(plain.map((layer) => [layer.digest, layer])).values()].map(async (layer) => {
      const again = () => compressLayer(client, layer, choice, signal);
      const before = await compressedBefore(client, layer, choice);
      if (before)
        missing.set(before.digest, async () => {
          // Another version of the library may compress differently; the layer's label says so from now on.
          if ((await again()).digest !== before.digest)
            throw conflict(`layer ${layer.digest} is compressed otherwise than before: push again`);
        });
      made.set(layer.digest, before ?? (await again()));
    }),
  );
  const layers = manifest.layers.map((layer) =>
    layerCompression(layer.mediaType) === "none" ? made.get(layer.digest)! : layer,
  );
  return writeDocument(client, target, { ...manifest, layers }, [
    ["config", manifest.config.digest],
    ...layers.map((layer, at): [string, Digest] => [`l.${at}`, layer.digest]),
  ]);
}

/** Writes the changed form of a manifest or index with its references for the collector. */
async function writeDocument(
  client: ContainerdClient,
  before: Descriptor,
  document: Manifest | Index,
  references: readonly (readonly [string, Digest])[],
): Promise<Descriptor> {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  const digest = digestOf(bytes);
  const labels = Object.fromEntries(
    references.map(([key, child]) => [`containerd.io/gc.ref.content.${key}`, child]),
  );
  await writeBlob(client, { ref: `manifest-${digest}`, digest, size: bytes.length, labels }, async () =>
    (async function* () {
      yield bytes;
    })(),
  );
  const { data: _, ...rest } = before;
  return { ...rest, digest, size: bytes.length };
}
