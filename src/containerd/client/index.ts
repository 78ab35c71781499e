/** What the rest of the program sees of a containerd, ours or another. */

export type { Resolver } from "../../registry/index.ts";
export {
  ArchiveWriter,
  blobPath,
  type DockerArchiveImage,
  type ImageArchive,
  layoutDocuments,
  writeImageArchive,
} from "./archive.ts";
export { blobStream, ingestBlob, readBlob, writeBlob } from "./blob.ts";
export { type CompressionChoice, compress, compressLayer, layerType } from "./compress.ts";
export { connectContainerd, type InProcessServices, inProcess } from "./connect.ts";
export { fromDescriptor, toDescriptor } from "./descriptor.ts";
export { type ContainerdEvent, decodeEvent, publish, subscribe } from "./events.ts";
export { type DebImportOptions, debImageName, importDebImage } from "./import-deb.ts";
export { dropDeadLeases, withLease } from "./lease.ts";
export { type LoadedImage, type LoadOptions, loadArchive } from "./load-archive.ts";
export {
  danglingName,
  danglingPrefix,
  isDangling,
  keepDangling,
  nameImage,
  pushedLabel,
} from "./name-image.ts";
export { fetchContent, holdIfPresent, type PulledImage, type PullOptions, pull } from "./pull.ts";
export { type PushLayerProgress, type PushOptions, push } from "./push.ts";
export { chainIds, hostPlatform, readConfig, readImage, readManifest } from "./read-image.ts";
export type { ContainerdClient, ImageContent, LayerProgress, LayerStatus } from "./types.ts";
export {
  packAny,
  packOptions,
  packProcess,
  packRuntimeOptions,
  packSpec,
  unpackAny,
  unpackProcess,
  unpackSpec,
} from "./typeurl.ts";
export { holdSnapshot, type UnpackOptions, unpack } from "./unpack.ts";
export { referToContent, writeImage } from "./write-image.ts";
