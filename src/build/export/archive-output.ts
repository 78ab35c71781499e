/** `type=oci` and `type=docker` into a tar, and `type=oci,tar=false` into a directory. */
import { invalid } from "../../base/errors.ts";
import { blobStream, type ImageArchive, writeImageArchive } from "../../containerd/client/index.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import { LayoutDirectory } from "../layout-directory.ts";
import type { ExporterResponse } from "../types.ts";
import { flag } from "./attributes.ts";
import { iso } from "./config.ts";
import { type OutputJob, ownImage } from "./export-result.ts";
import type { AssembledImage } from "./image.ts";

export async function exportArchive(
  job: OutputJob,
  image: AssembledImage,
  names: readonly string[],
): Promise<ExporterResponse> {
  const { context, output, request, report } = job;
  const archive = describeArchive(job, image, names);
  const asTar = flag(output.attributes, "tar", true);
  if (asTar) {
    const { write } = output;
    if (!write) throw invalid(`output type ${output.type} needs a destination (dest=…) for its tar`);
    let sent = 0;
    await report.part("sending tarball", (say) =>
      writeImageArchive(
        context.client,
        archive,
        async (chunk) => {
          await write(chunk);
          sent += chunk.length;
          say(sent);
        },
        request.signal,
      ),
    );
  } else {
    if (output.directory === undefined)
      throw invalid(`output type ${output.type} with tar=false needs a directory (dest=…)`);
    const layout = await LayoutDirectory.create(output.directory);
    await report.part("copying files", async () => {
      for (const blob of archive.blobs) {
        request.signal.throwIfAborted();
        const document = image.documents.get(blob.digest);
        await layout.putBlob(blob, document ? [document] : () => blobStream(context.client, blob.digest));
      }
      await layout.add(archive.manifests);
    });
  }
  return names.length > 0 ? { "image.name": names.join(",") } : {};
}

function describeArchive(job: OutputJob, image: AssembledImage, names: readonly string[]): ImageArchive {
  const { epoch, output } = job;
  const created = iso(new Date(epoch === undefined ? Date.now() : epoch * 1000));
  const entry = (annotations: Record<string, string>): Descriptor => ({
    ...image.descriptor,
    annotations: {
      ...image.descriptor.annotations,
      ...annotations,
      "org.opencontainers.image.created": created,
    },
  });
  const manifests =
    names.length === 0
      ? [entry({})]
      : names.map((name) =>
          entry({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": parseReference(name).tag ?? name,
          }),
        );
  const own = ownImage(image.images);
  return {
    manifests,
    blobs: image.blobs,
    documents: image.documents,
    ...(epoch === undefined ? {} : { time: epoch }),
    // Of several platforms Docker before 25 can only load one.
    ...(output.type === "docker" && own
      ? {
          docker: [
            {
              config: own.configDescriptor.digest,
              repoTags: names.map((name) => familiarReference(parseReference(name))),
              layers: own.manifest.layers.map((layer) => layer.digest),
            },
          ],
        }
      : {}),
  };
}
