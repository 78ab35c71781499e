/** Where a build's files come from: images, the client's directories, git and http. */
export { gitExecutor } from "./git.ts";
export { httpExecutor } from "./http.ts";
export { imageExecutor } from "./image.ts";
export { localExecutor } from "./local.ts";
export { withLayouts } from "./oci-layout.ts";
export { pruneSources } from "./prune.ts";
export { readFile } from "./read-file.ts";
