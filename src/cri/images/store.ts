/** The images of the node, as Kubernetes sees them: one per configuration digest, with all its names. */
import type { Image as ImageRecord } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import { isCode, notFound } from "../../base/errors.ts";
import { type ContainerdClient, fromDescriptor, readImage } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ImageConfig } from "../../oci/image-spec.ts";
import { formatReference, parseImageName, parseReference } from "../../oci/reference.ts";
import type { CriImage } from "../engine.ts";

/** What a target comes to never changes. */
interface Content {
  id: Digest;
  size: number;
  config: ImageConfig;
  chainId: Digest | undefined;
}

export const managedLabel = "io.cri-containerd.image";
export const pinnedLabel = "io.cri-containerd.pinned";
export const managedLabels = { [managedLabel]: "managed" };

const contents = new Map<Digest, Content>();

/** Every image that is whole on this node. */
export async function listImages(client: ContainerdClient): Promise<CriImage[]> {
  const { images } = await client.images.list({});
  const known = new Set<Digest>();
  const found = new Map<Digest, CriImage>();
  for (const record of images) {
    const target = record.target?.digest;
    if (!target) continue;
    known.add(target);
    const content = await contentOf(client, record);
    if (!content) continue;
    let image = found.get(content.id);
    if (!image) {
      image = { ...content, tags: [], digests: [], target, pinned: false };
      found.set(content.id, image);
    }
    image.pinned ||= record.labels[pinnedLabel] === "pinned";
    addName(image, record.name, target);
  }
  for (const target of contents.keys()) if (!known.has(target)) contents.delete(target);
  return [...found.values()];
}

function addName(image: CriImage, name: string, target: Digest): void {
  if (/^sha256:[0-9a-f]{64}$/.test(name)) return;
  let digest: string;
  try {
    const reference = parseReference(name);
    digest = `${reference.domain}/${reference.path}@${reference.digest ?? target}`;
    if (reference.tag !== undefined && reference.digest === undefined) image.tags.push(name);
  } catch {
    return;
  }
  if (!image.digests.includes(digest)) image.digests.push(digest);
}

async function contentOf(client: ContainerdClient, record: ImageRecord): Promise<Content | undefined> {
  const target = fromDescriptor(record.target);
  const known = contents.get(target.digest);
  if (known) return known;
  try {
    const { manifest, config, chainIds } = await readImage(client, target);
    const size = [manifest.config, ...manifest.layers].reduce((sum, blob) => sum + blob.size, target.size);
    const content = { id: manifest.config.digest, size, config, chainId: chainIds.at(-1) };
    contents.set(target.digest, content);
    return content;
  } catch (error) {
    // Of another platform, or half gone: not an image of this node.
    if (isCode(error, "not_found") || isCode(error, "invalid_argument")) return undefined;
    throw error;
  }
}

/** The image by a name, an id or the unambiguous beginning of one. */
export async function findImage(client: ContainerdClient, text: string): Promise<CriImage | undefined> {
  const images = await listImages(client);
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(text)?.[1];
  if (hex !== undefined) {
    const whole = images.find((image) => image.id === `sha256:${hex}`);
    if (whole) return whole;
  }
  let name: string | undefined;
  try {
    name = formatReference(parseImageName(text));
  } catch {
    // An id is not always a name.
  }
  const named = images.find(
    (image) => name !== undefined && (image.tags.includes(name) || image.digests.includes(name)),
  );
  if (named) return named;
  if (hex === undefined || hex.length < 4) return undefined;
  const begun = images.filter((image) => image.id.startsWith(`sha256:${hex}`));
  return begun.length === 1 ? begun[0] : undefined;
}

export async function getImage(client: ContainerdClient, text: string): Promise<CriImage> {
  const image = await findImage(client, text);
  if (!image) throw notFound(`image ${JSON.stringify(text)}: not found`);
  return image;
}
