/** Manifests, configs and the index of a result, for one form of layers and media types; nothing is written here. */
import { invalid } from "../../base/errors.ts";
import { chainIds } from "../../containerd/client/index.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  type Manifest,
  mediaTypes,
  type Platform,
} from "../../oci/image-spec.ts";
import { normalizePlatform } from "../../oci/platform.ts";
import { packageUrl } from "../package-url.ts";
import type { BuildRequest, BuildTarget, ExporterInput, Layer } from "../types.ts";
import type { Annotations } from "./annotations.ts";
import type { LayerFormat } from "./attributes.ts";
import { imageConfig, ownLayers, squashHistory } from "./config.ts";
import { inlineRecords } from "./inline-cache.ts";
import type { ExportedLayer, LayerWriter } from "./layers.ts";
import type { ExportContext } from "./types.ts";

export interface ImageForm {
  format: LayerFormat;
  oci: boolean;
  annotations: Annotations;
  /** Cut the times of files in the layers this build made to SOURCE_DATE_EPOCH. */
  rewriteTimestamps: boolean;
  epoch?: number;
}

/** One platform's image. */
export interface BuiltImage {
  platform: Platform;
  target: BuildTarget;
  config: ImageConfig;
  configDescriptor: Descriptor;
  manifest: Manifest;
  descriptor: Descriptor;
  /** The layers as they are in the store, and the snapshots' names as images of this config have them. */
  layers: readonly ExportedLayer[];
  chainIds: readonly Digest[];
}

/** An in-toto statement that goes with an image. */
export interface Attestation {
  predicateType: string;
  predicate: unknown;
  /** Name of its file in `local` and `tar` outputs. */
  filename: string;
}

/** The whole result: one manifest, or an index of several. */
export interface AssembledImage {
  descriptor: Descriptor;
  images: readonly BuiltImage[];
  /** Configs, manifests, index, statements by their digest. */
  documents: ReadonlyMap<Digest, Uint8Array>;
  /** What each manifest and index refers to, for the collector's labels: name of the reference → digest. */
  references: ReadonlyMap<Digest, readonly (readonly [string, Digest])[]>;
  /** Everything reachable. */
  blobs: readonly Descriptor[];
}

/** JSON as it is stored: no spaces, keys in the order given. */
const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Builds the image of each platform. */
export function buildImages(
  input: ExporterInput,
  request: BuildRequest,
  context: ExportContext,
  writer: LayerWriter,
  form: ImageForm,
): Promise<BuiltImage[]> {
  return Promise.all(
    input.targets.map(async ({ target, result }) => {
      const layers = result?.layers ?? [];
      const own = ownLayers(target, layers.length);
      const clamp = form.rewriteTimestamps ? form.epoch : undefined;
      const options = { own, ...(clamp === undefined ? {} : { clamp }) };
      const exported = await writer.export(layers, options);
      return buildImage(target, layers, exported, own, request, context, writer, form);
    }),
  );
}

async function buildImage(
  target: BuildTarget,
  layers: readonly Layer[],
  exported: ExportedLayer[],
  own: number,
  request: BuildRequest,
  context: ExportContext,
  writer: LayerWriter,
  form: ImageForm,
): Promise<BuiltImage> {
  let kept: readonly ExportedLayer[] = exported;
  const inlineCache = context.inlineCache && inlineRecords(context.inlineCache, layers, form.epoch);
  const epoch = form.epoch === undefined ? {} : { epoch: form.epoch };
  let config = imageConfig(target, exported, {
    ...epoch,
    ...(inlineCache === undefined || request.squash ? {} : { inlineCache }),
  });
  if (request.squash && own > 0) {
    const clamp = form.rewriteTimestamps ? form.epoch : undefined;
    const merged = await writer.squash(layers, own, clamp);
    kept = [...exported.slice(0, exported.length - own), ...(merged ? [merged] : [])];
    const names = {
      from: digestOf(encode(config)),
      to: exported[exported.length - own - 1]?.diffId ?? "scratch",
    };
    config = {
      ...config,
      rootfs: { type: "layers", diff_ids: kept.map((layer) => layer.diffId) },
      history: squashHistory(config, own, names),
    };
  }
  const blobs = await Promise.all(kept.map((layer) => writer.format(layer, form.format, form.oci)));
  const configDescriptor = describe(
    form.oci ? mediaTypes.ociConfig : mediaTypes.dockerConfig,
    encode(config),
  );
  const annotations = form.annotations.of("manifest", target.platform);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: form.oci ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
    config: configDescriptor,
    layers: blobs,
    ...(annotations ? { annotations } : {}),
  };
  const own_ = form.annotations.of("manifest-descriptor", target.platform);
  return {
    platform: target.platform,
    target,
    config,
    configDescriptor,
    manifest,
    descriptor: {
      ...describe(manifest.mediaType!, encode(manifest)),
      ...(own_ ? { annotations: own_ } : {}),
    },
    layers: kept,
    chainIds: chainIds(kept.map((layer) => layer.diffId)),
  };
}

export const describe = (mediaType: string, bytes: Uint8Array): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

/** The platform as an index names it. */
export const indexPlatform = (platform: Platform): Platform => normalizePlatform(platform);

/**
 * Puts images and their attestations together: a single image without attestations or annotations of an index is its
 * manifest, everything else an index.
 */
export function assemble(
  images: readonly BuiltImage[],
  form: ImageForm,
  attestations: ReadonlyMap<BuiltImage, readonly Attestation[]>,
  names: readonly string[],
): AssembledImage {
  if (images.length === 0) throw invalid("there is nothing to export");
  const documents = new Map<Digest, Uint8Array>();
  const references = new Map<Digest, readonly (readonly [string, Digest])[]>();
  const blobs: Descriptor[] = [];
  const document = (descriptor: Descriptor, bytes: Uint8Array) => {
    documents.set(descriptor.digest, bytes);
    blobs.push(descriptor);
  };
  const manifests: Descriptor[] = [];
  const addManifest = (descriptor: Descriptor, manifest: Manifest) => {
    document(descriptor, encode(manifest));
    references.set(descriptor.digest, [
      ["config", manifest.config.digest],
      ...manifest.layers.map((layer, at) => [`l.${at}`, layer.digest] as const),
    ]);
  };
  for (const image of images) {
    document(image.configDescriptor, encode(image.config));
    addManifest(image.descriptor, image.manifest);
    blobs.push(...image.manifest.layers);
    manifests.push({ ...image.descriptor, platform: indexPlatform(image.platform) });
  }
  for (const image of images) {
    const statements = attestations.get(image) ?? [];
    if (statements.length === 0) continue;
    const made = attestationManifest(image, statements, names);
    for (const [descriptor, bytes] of made.documents) document(descriptor, bytes);
    addManifest(made.descriptor, made.manifest);
    manifests.push({
      ...made.descriptor,
      annotations: {
        "vnd.docker.reference.digest": image.descriptor.digest,
        "vnd.docker.reference.type": "attestation-manifest",
      },
      platform: { architecture: "unknown", os: "unknown" },
    });
  }
  const top = form.annotations.of("index-descriptor");
  if (manifests.length === 1 && !form.annotations.has("index", "index-descriptor"))
    return { descriptor: images[0]!.descriptor, images, documents, references, blobs: unique(blobs) };
  const annotations = form.annotations.of("index");
  const index: Index = {
    schemaVersion: 2,
    mediaType: form.oci ? mediaTypes.ociIndex : mediaTypes.dockerManifestList,
    manifests,
    ...(annotations ? { annotations } : {}),
  };
  const bytes = encode(index);
  const descriptor = describe(index.mediaType!, bytes);
  document(descriptor, bytes);
  references.set(
    descriptor.digest,
    manifests.map((child, at) => [`m.${at}`, child.digest]),
  );
  return {
    descriptor: { ...descriptor, ...(top ? { annotations: top } : {}) },
    images,
    documents,
    references,
    blobs: unique(blobs),
  };
}

const unique = (blobs: readonly Descriptor[]): Descriptor[] => [
  ...new Map(blobs.map((blob) => [blob.digest, blob])).values(),
];

/** The manifest that carries an image's statements (BuildKit's attestation storage). */
function attestationManifest(
  image: BuiltImage,
  attestations: readonly Attestation[],
  names: readonly string[],
): { descriptor: Descriptor; manifest: Manifest; documents: [Descriptor, Uint8Array][] } {
  const digest = { sha256: image.descriptor.digest.slice("sha256:".length) };
  const subjects = subjectNames(names, image.platform).map((name) => ({ name, digest }));
  const documents: [Descriptor, Uint8Array][] = [];
  const layers = attestations.map(({ predicateType, predicate }) => {
    const bytes = encode({
      _type: "https://in-toto.io/Statement/v0.1",
      predicateType,
      subject: subjects,
      predicate,
    });
    const descriptor = describe("application/vnd.in-toto+json", bytes);
    documents.push([descriptor, bytes]);
    return { ...descriptor, annotations: { "in-toto.io/predicate-type": predicateType } };
  });
  const config: ImageConfig = {
    architecture: "unknown",
    os: "unknown",
    config: {},
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
  };
  const configBytes = encode(config);
  const configDescriptor = describe(mediaTypes.ociConfig, configBytes);
  documents.push([configDescriptor, configBytes]);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: configDescriptor,
    layers,
  };
  return { descriptor: describe(mediaTypes.ociManifest, encode(manifest)), manifest, documents };
}

/** Package URLs of the image (`pkg:docker/…`), or BuildKit's "_" for one without a name. */
export function subjectNames(names: readonly string[], platform: Platform): string[] {
  const urls = names.flatMap((name) => packageUrl(name, platform) ?? []);
  return urls.length > 0 ? urls : ["_"];
}
