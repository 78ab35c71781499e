import { createHash } from "node:crypto";
import { invalid } from "../../base/errors.ts";
import { buildDebImage, type ContentSink, type DebImage, type DebImageOptions } from "../../deb/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { blobStream, writeBlob } from "./blob.ts";
import { withLease } from "./lease.ts";
import { holdIfPresent, type PulledImage, putImage } from "./pull.ts";
import { readImage } from "./read-image.ts";
import type { ContainerdClient, ImageContent, LayerProgress } from "./types.ts";
import { type UnpackOptions, unpack } from "./unpack.ts";

export interface DebImportOptions extends Omit<DebImageOptions, "sink"> {
  /** Name of the image record; default `debImageName(reference)`. */
  name?: string;
  /** Default "overlayfs"; `false`: no unpacking. */
  snapshotter?: string | false;
  onLayer?: (progress: LayerProgress) => void;
}

const escapes: Record<string, string> = { ",": "__", "/": "_s", "=": "_e", ":": "_c", "~": "_t", "+": "_p" };

/**
 * The containerd name of a `deb:` reference. `deb:nginx-light` is what `docker run deb:nginx-light` asks for
 * anyway: repository "deb", tag "nginx-light", hence `docker.io/library/deb:nginx-light`. What a tag cannot
 * hold is escaped with `_`, which no Debian name has: `,` → `__`, `/` → `_s`, `=` → `_e`, `:` → `_c`,
 * `~` → `_t`, `+` → `_p`; a text too long for a tag ends in a digest. The label `corten.deb` has the original.
 */
export function debImageName(reference: string): string {
  if (!reference.startsWith("deb:")) throw invalid(`${JSON.stringify(reference)} does not start with deb:`);
  let tag = reference.slice("deb:".length).replace(/[,/=:~+]/g, (character) => escapes[character]!);
  if (!/^[\w.-]+$/.test(tag)) throw invalid(`invalid deb reference ${JSON.stringify(reference)}`);
  if (tag.length > 128)
    tag = `${tag.slice(0, 94)}_h${createHash("sha256").update(tag).digest("hex").slice(0, 32)}`;
  return `docker.io/library/deb:${tag}`;
}

/** Builds the image a `deb:` reference names into the content store, unpacks it and records it. */
export async function importDebImage(
  client: ContainerdClient,
  reference: string,
  options: DebImportOptions,
): Promise<PulledImage & { deb: DebImage }> {
  const { name = debImageName(reference), snapshotter, onLayer, ...build } = options;
  return withLease(client, async (leased) => {
    const deb = await buildDebImage(reference, { ...build, sink: sinkOf(leased) });
    const content = await unpackOrRead(leased, deb.descriptor, snapshotter !== false, {
      ...(snapshotter ? { snapshotter } : {}),
      ...(onLayer ? { onProgress: onLayer } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const { image, changed } = await putImage(leased, name, deb.descriptor, { "corten.deb": reference });
    return { image, content, changed, deb };
  });
}

async function unpackOrRead(
  client: ContainerdClient,
  target: Descriptor,
  unpacked: boolean,
  options: UnpackOptions,
): Promise<ImageContent> {
  return unpacked ? unpack(client, target, options) : readImage(client, target);
}

/** A content service as the place a deb image is composed into; the client's lease holds what is there. */
function sinkOf(client: ContainerdClient): ContentSink {
  return {
    has: (digest) => holdIfPresent(client, digest),
    open: (digest) => blobStream(client, digest),
    async put(descriptor: Descriptor, bytes: AsyncIterable<Uint8Array>, references: Digest[] = []) {
      const labels: Record<string, string> = {};
      for (const [index, digest] of references.entries())
        labels[`containerd.io/gc.ref.content.${index}`] = digest;
      const { digest, size } = descriptor;
      // The bytes can be read once: an ingest somebody left half-way begins anew.
      await client.content.abort({ ref: `deb-${digest}` }).catch(() => {});
      const fresh = await writeBlob(client, { ref: `deb-${digest}`, digest, size, labels }, () => bytes);
      if (fresh) return;
      await holdIfPresent(client, digest);
      const paths = Object.keys(labels).map((key) => `labels.${key}`);
      if (paths.length > 0) await client.content.update({ info: { digest, labels }, updateMask: { paths } });
    },
  };
}
