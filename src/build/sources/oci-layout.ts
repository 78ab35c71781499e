/** Images in a client's OCI image layout (image-spec, image-layout.md): `--build-context NAME=oci-layout://DIRECTORY`. */
import { invalid, notFound } from "../../base/errors.ts";
import { type ContainerdClient, fetchContent } from "../../containerd/client/index.ts";
import { type Descriptor, isIndexType, isManifestType } from "../../oci/image-spec.ts";
import { type LayoutReference, parseLayoutReference } from "../../oci/layout-reference.ts";
import { LayoutDirectory } from "../layout-directory.ts";
import type { BuildRequest, ImageResolver, Layout, ResolvedImage } from "../types.ts";

/**
 * `images`, and those of the layouts that the request's contexts are, or that its client has. Their content is held by the
 * client's lease.
 */
export function withLayouts(
  images: ImageResolver,
  { contexts, layouts }: Pick<BuildRequest, "contexts" | "layouts">,
  client: ContainerdClient,
): ImageResolver {
  return {
    async resolve(reference, options): Promise<ResolvedImage> {
      const wanted = parseLayoutReference(reference);
      if (!wanted) return images.resolve(reference, options);
      const { platform, signal, onProgress } = options;
      const resolveIn = async (layout: Layout): Promise<ResolvedImage> => {
        const target = await find(layout, wanted, reference);
        const content = await fetchContent(client, target, fetcherOf(layout), {
          platform,
          signal,
          onProgress: ({ id, status, current = 0, total = 0 }) =>
            onProgress?.({ id, name: status, current, total, done: status === "Download complete" }),
        });
        return { reference, target, manifest: content.manifestDescriptor, config: content.config };
      };
      const elsewhere = layouts?.(wanted.place);
      if (elsewhere) return resolveIn(elsewhere);
      const directory = await contexts.open(wanted.place, { exclude: [], signal });
      try {
        return await resolveIn(LayoutDirectory.open(directory.path));
      } finally {
        await directory.close();
      }
    },
  };
}

function fetcherOf(layout: Layout): Parameters<typeof fetchContent>[2] {
  return {
    async fetch({ digest }, offset = 0) {
      const pieces = layout.blob(digest, offset);
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          const next = await pieces.next();
          if (next.done) controller.close();
          else controller.enqueue(next.value);
        },
        cancel: async () => void (await pieces.return(undefined)),
      });
    },
  };
}

/** What the index lists, or by a digest what it leads to. */
async function find(
  layout: Layout,
  { tag, digest }: LayoutReference,
  reference: string,
): Promise<Descriptor> {
  if (digest === undefined) {
    const found = await layout.find({ tag });
    if (!found) throw notFound(`${reference}: the layout's index has no ${tag}`);
    return found;
  }
  const listed = await layout.find({ digest });
  if (listed) return listed;
  const size = await layout.sizeOf(digest);
  if (size === undefined) throw notFound(`${reference}: the layout has no such blob`);
  const mediaType = typeOf(await layout.readJson<Document>({ digest }));
  if (mediaType === undefined || !(isIndexType(mediaType) || isManifestType(mediaType)))
    throw invalid(`${reference}: unexpected media type ${JSON.stringify(mediaType ?? "")}`);
  return { mediaType, digest, size };
}

interface Document {
  mediaType?: string;
  manifests?: unknown;
  config?: unknown;
}

/** OCI's documents need not tell it themselves. */
function typeOf({ mediaType, manifests, config }: Document): string | undefined {
  if (mediaType !== undefined) return mediaType;
  if (Array.isArray(manifests)) return "application/vnd.oci.image.index.v1+json";
  return config === undefined ? undefined : "application/vnd.oci.image.manifest.v1+json";
}
