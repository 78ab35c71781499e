import { invalid } from "../../base/errors.ts";
import { hostPlatform } from "../../containerd/client/index.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { exactPlatform, formatPlatform, normalizePlatform } from "../../oci/platform.ts";
import { formatReference, parseImageName } from "../../oci/reference.ts";
import type { BuildRequest, BuildResult, ExporterInput, ExporterResponse, OutputSpec } from "../types.ts";
import { Annotations } from "./annotations.ts";
import { exportArchive } from "./archive-output.ts";
import { attestationsOf, provenanceData } from "./attestations.ts";
import { flag, layerFormat } from "./attributes.ts";
import { type AssembledImage, assemble, type BuiltImage, buildImages, type ImageForm } from "./image.ts";
import { exportImage } from "./image-output.ts";
import { LayerWriter } from "./layers.ts";
import { ExportProgress } from "./report.ts";
import { exportRootfs } from "./rootfs-output.ts";
import type { ExportContext } from "./types.ts";

/** One output, with what all outputs of the build share. */
export interface OutputJob {
  readonly input: ExporterInput;
  readonly request: BuildRequest;
  readonly context: ExportContext;
  readonly output: OutputSpec;
  readonly writer: LayerWriter;
  readonly report: ExportProgress;
  readonly epoch: number | undefined;
}

const titles: Readonly<Record<OutputSpec["type"], string>> = {
  image: "exporting to image",
  docker: "exporting to docker image format",
  oci: "exporting to oci image format",
  tar: "exporting to client tarball",
  local: "exporting to client directory",
  cacheonly: "keeping the cache",
};

/** Writes every output of the request, and names what was made in the words of BuildKit's exporter response. */
export async function exportResult(
  input: ExporterInput,
  request: BuildRequest,
  context: ExportContext,
): Promise<BuildResult> {
  const writer = new LayerWriter(context, request.signal);
  const response: ExporterResponse = {};
  let imageId: string | undefined;
  for (const [at, output] of request.outputs.entries()) {
    request.signal.throwIfAborted();
    if (output.type === "cacheonly") continue;
    const report = new ExportProgress(request.progress, titleOf(output), `${request.id} ${at}`);
    const job: OutputJob = {
      input,
      request,
      context,
      output,
      writer,
      report,
      epoch: epochOf(request, output),
    };
    const made = await report.run(() => runOutput(job));
    Object.assign(response, made.response);
    imageId ??= made.imageId;
  }
  Object.assign(response, provenanceData(input, request, context));
  if (context.buildRef !== undefined) response["buildx.build.ref"] = context.buildRef;
  return { response, ...(imageId === undefined ? {} : { imageId }) };
}

/** `docker` without a place to write to is the store. */
const isStore = (output: OutputSpec): boolean =>
  output.type === "image" || (output.type === "docker" && !output.write);

const titleOf = (output: OutputSpec): string => titles[isStore(output) ? "image" : output.type];

async function runOutput(job: OutputJob): Promise<BuildResult> {
  const { output } = job;
  if (output.type === "tar" || output.type === "local") {
    await exportRootfs(job);
    return { response: {} };
  }
  const names = imageNames(job);
  const image = await assembleImage(job, names);
  const extra = isStore(output)
    ? await exportImage(job, image, names)
    : await exportArchive(job, image, names);
  const own = ownImage(image.images);
  const single = image.images.length === 1 ? image.images[0] : undefined;
  return {
    response: {
      "containerimage.digest": image.descriptor.digest,
      ...(single ? { "containerimage.config.digest": single.configDescriptor.digest } : {}),
      "containerimage.descriptor": Buffer.from(JSON.stringify(describeResult(image))).toString("base64"),
      ...extra,
    },
    ...(own ? { imageId: own.configDescriptor.digest } : {}),
  };
}

/** The descriptor of a lone manifest tells its platform, as buildx shows it. */
function describeResult(image: AssembledImage) {
  const [one, ...more] = image.images;
  return one && more.length === 0 && image.descriptor.digest === one.descriptor.digest
    ? { ...image.descriptor, platform: normalizePlatform(one.platform) }
    : image.descriptor;
}

async function assembleImage(job: OutputJob, names: readonly string[]): Promise<AssembledImage> {
  const { input, request, context, output, writer, report } = job;
  const form = formOf(job);
  const images = await report.part("exporting layers", () =>
    buildImages(input, request, context, writer, form),
  );
  const attestations = await attestationsOf(job, images);
  const image = assemble(images, form, attestations, names);
  if (output.type === "docker" && output.write && image.images.length > 1 && !form.oci)
    throw invalid(
      "docker exporter does not currently support exporting manifest lists; use type=oci, or oci-mediatypes=true",
    );
  return image;
}

/**
 * Media types and compression. Docker's types, as its own store has them, unless something asks for what only OCI's
 * have; layers of the store are not compressed, those that leave the machine are. Attestations name manifests by
 * digest, so an image with them is compressed at once rather than when it is pushed.
 */
function formOf({ request, output, epoch }: OutputJob): ImageForm {
  const { attributes } = output;
  const annotations = new Annotations(attributes);
  const attested = Object.keys(request.attestations).length > 0;
  const leaves = !isStore(output) || flag(attributes, "push", false) || attested;
  const format = layerFormat(attributes, leaves ? "gzip" : "none");
  const needsOci = attested || annotations.has() || format.compression === "zstd";
  return {
    format,
    oci: needsOci || flag(attributes, "oci-mediatypes", output.type === "oci"),
    annotations,
    rewriteTimestamps: epoch !== undefined && flag(attributes, "rewrite-timestamp", true),
    ...(epoch === undefined ? {} : { epoch }),
  };
}

function epochOf(request: BuildRequest, output: OutputSpec): number | undefined {
  const text = output.attributes["source-date-epoch"];
  if (text === undefined || text === "") return request.sourceDateEpoch;
  if (!/^\d{1,11}$/.test(text))
    throw invalid(`source-date-epoch ${JSON.stringify(text)} is no number of seconds`);
  return Number(text);
}

/** Full names, of `-t` or of the output itself. */
function imageNames({ request, output }: OutputJob): string[] {
  const own = output.attributes["name"];
  const names = own === undefined || own === "" || own === "*" ? request.tags : own.split(",");
  return [...new Set(names.map((name) => formatReference(parseImageName(name.trim()))))];
}

/** The image this machine runs; of a single one, that. */
export function ownImage(images: readonly BuiltImage[]): BuiltImage | undefined {
  const host: Platform = hostPlatform();
  const rank = exactPlatform(host);
  return (
    images.find((image) => rank(image.platform) !== undefined) ??
    (images.length === 1 ? images[0] : undefined)
  );
}

/** `linux_amd64`: how a platform's directory is called. */
export const platformFolder = (platform: Platform): string =>
  formatPlatform(normalizePlatform(platform)).replaceAll("/", "_");
