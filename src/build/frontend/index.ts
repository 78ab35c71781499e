/** From a Dockerfile to the graph of what it builds, and the config of the image. */
export { compile } from "./compile.ts";
export type * from "./types.ts";
