/** `type=image`: blobs and records in the store, names of snapshots, push. */
import { isCode, unimplemented } from "../../base/errors.ts";
import {
  type ContainerdClient,
  danglingName,
  holdSnapshot,
  nameImage,
  push,
  toDescriptor,
  writeBlob,
} from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ExporterResponse } from "../types.ts";
import { flag } from "./attributes.ts";
import { type OutputJob, ownImage } from "./export-result.ts";
import type { AssembledImage, BuiltImage } from "./image.ts";
import { toRegistry } from "./registry.ts";

/** Makes the image exist under its names; returns what is to be told beyond its digests. */
export async function exportImage(
  job: OutputJob,
  image: AssembledImage,
  names: readonly string[],
): Promise<ExporterResponse> {
  const { context, output, report } = job;
  const { client } = context;
  const { attributes } = output;
  const own = ownImage(image.images);
  const stored = flag(attributes, "store", true);
  const unpack = stored && flag(attributes, "unpack", true);
  const chains = unpack && own ? await report.part("naming snapshots", () => nameChain(job, own)) : undefined;
  await report.part(`writing image ${idOf(image)}`, () =>
    writeDocuments(client, image, own, context.snapshotter, chains),
  );
  if (stored) await nameAll(job, image, names);
  if (flag(attributes, "push", false) || flag(attributes, "push-by-digest", false))
    await pushAll(job, image, names);
  return names.length > 0 ? { "image.name": names.join(",") } : {};
}

/** By which users know it: that of this machine's platform, when there are several. */
const idOf = ({ images }: AssembledImage): Digest => (ownImage(images) ?? images[0]!).configDescriptor.digest;

/** Writes configs, manifests and the index: all at once, for each waits for the disk. */
export async function writeDocuments(
  client: ContainerdClient,
  image: AssembledImage,
  own: BuiltImage | undefined,
  snapshotter: string,
  topChain: Digest | undefined,
): Promise<void> {
  await Promise.all(
    [...image.documents].map(async ([digest, bytes]) => {
      const labels: Record<string, string> = {};
      for (const [key, child] of image.references.get(digest) ?? [])
        labels[`containerd.io/gc.ref.content.${key}`] = child;
      if (topChain !== undefined && digest === own?.configDescriptor.digest)
        labels[`containerd.io/gc.ref.snapshot.${snapshotter}`] = topChain;
      const options = { ref: `build-${digest}`, digest, size: bytes.length, labels };
      const fresh = await writeBlob(client, options, async () => one(bytes));
      if (fresh) return;
      if (client.lease !== undefined)
        await client.leases.addResource({ id: client.lease, resource: { id: digest, type: "content" } });
      const paths = Object.keys(labels).map((key) => `labels.${key}`);
      if (paths.length > 0) await client.content.update({ info: { digest, labels }, updateMask: { paths } });
    }),
  );
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function nameAll(job: OutputJob, image: AssembledImage, names: readonly string[]): Promise<void> {
  const { context, output, report } = job;
  const { client } = context;
  const id = idOf(image);
  const record = { target: image.descriptor, id };
  for (const name of names) {
    await report.part(`naming to ${name}`, () => nameImage(client, name, record));
    if (flag(output.attributes, "name-canonical", false))
      await nameImage(client, `${name.replace(/:[^:/]*$/, "")}@${image.descriptor.digest}`, record);
  }
  if (names.length > 0) return;
  const prefix = output.attributes["dangling-name-prefix"];
  if (prefix !== undefined && prefix !== "") {
    await nameImage(client, `${prefix}@${image.descriptor.digest}`, record);
    return;
  }
  // An image without a name is kept by a record of its own, unless one leads to it already.
  const { images } = await client.images.list({ filters: [`target.digest==${image.descriptor.digest}`] });
  if (images.length > 0) return;
  await client.images
    .create({ image: { name: danglingName(id), target: toDescriptor(image.descriptor), labels: {} } })
    .catch((error) => {
      if (!isCode(error, "already_exists")) throw error;
    });
}

/**
 * Gives the snapshots the names an unpacked image has them by, so that its first container starts at once. Our containerd
 * links them (`corten.snapshot.from`); one that does not know the label, or has another snapshot below, gets the layer
 * unpacked. Returns the topmost name.
 */
async function nameChain(job: OutputJob, image: BuiltImage): Promise<Digest | undefined> {
  const { context, request } = job;
  const { client, snapshotter } = context;
  for (const [index, chainId] of image.chainIds.entries()) {
    request.signal.throwIfAborted();
    const layer = image.layers[index]!;
    if (await holdSnapshot(client, snapshotter, chainId)) continue;
    const parent = index === 0 ? "" : image.chainIds[index - 1]!;
    const key = `extract-${crypto.randomUUID()} ${chainId}`;
    const labels = { "containerd.io/snapshot.ref": chainId };
    if (!layer.clamped && (await linked(client, snapshotter, layer.snapshot, key, parent, chainId))) continue;
    const { mounts } = await client.snapshots.prepare({ snapshotter, key, parent, labels });
    try {
      await client.diff.apply({ diff: toDescriptor(layer.blob), mounts });
      await client.snapshots.commit({ snapshotter, key, name: chainId, labels });
    } catch (error) {
      await client.snapshots.remove({ snapshotter, key }).catch(() => {});
      // Somebody else has just made it.
      if (!isCode(error, "already_exists") || !(await holdSnapshot(client, snapshotter, chainId)))
        throw error;
    }
  }
  return image.chainIds.at(-1);
}

/** True when the snapshot got its other name; nothing is left of an attempt that did not. */
async function linked(
  client: ContainerdClient,
  snapshotter: string,
  from: string,
  key: string,
  parent: string,
  chainId: Digest,
): Promise<boolean> {
  const labels = { "containerd.io/snapshot.ref": chainId, "corten.snapshot.from": from };
  try {
    await client.snapshots.prepare({ snapshotter, key, parent, labels });
  } catch (error) {
    if (isCode(error, "already_exists")) return holdSnapshot(client, snapshotter, chainId);
    // On another snapshot of the same layers it cannot be named.
    if (isCode(error, "failed_precondition")) return false;
    throw error;
  }
  await client.snapshots.remove({ snapshotter, key });
  return false;
}

async function pushAll(job: OutputJob, image: AssembledImage, names: readonly string[]): Promise<void> {
  const { context, output, request, report } = job;
  if (names.length === 0) throw unimplemented("push needs a name: give --tag, or name= of the output");
  const byDigest = flag(output.attributes, "push-by-digest", false);
  await toRegistry(context, request, async (resolver) => {
    for (const name of names) {
      const ref = byDigest ? `${name.replace(/:[^:/]*$/, "")}@${image.descriptor.digest}` : name;
      await report.part(`pushing ${ref}`, async (say) => {
        const sent = new Map<Digest, number>();
        await push(context.client, {
          ref,
          target: image.descriptor,
          resolver,
          signal: request.signal,
          onProgress: ({ digest, current }) => {
            if (current === undefined) return;
            sent.set(digest, current);
            say([...sent.values()].reduce((sum, bytes) => sum + bytes, 0));
          },
        });
      });
    }
  });
}
