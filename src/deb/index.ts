/** Debian packages → OCI image, without running anything of them (docs/deb-images.md). */
export { buildDebImage } from "./build.ts";
export { type DebReference, isDebReference, parseDebReference } from "./reference.ts";
export type { ContentSink, DebEvent, DebImage, DebImageOptions, DebPackageInfo } from "./types.ts";
