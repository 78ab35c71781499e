/** The Engine API's JSON, one file a noun; `types/common.ts` says how it is written. */
export type * from "./types/build.ts";
export type * from "./types/common.ts";
export type * from "./types/container.ts";
export type * from "./types/container-config.ts";
export type * from "./types/corten.ts";
export type * from "./types/exec.ts";
export type * from "./types/image.ts";
export type * from "./types/network.ts";
export type * from "./types/system.ts";
export type * from "./types/volume.ts";
