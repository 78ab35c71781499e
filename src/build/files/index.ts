/** COPY, ADD, WORKDIR's mkdir, --link, and digests of files: all by descriptors in the rootfs. */
export { contentOf } from "./content.ts";
export { filesExecutor } from "./executor.ts";
export { openFileHashes } from "./hashes.ts";
export { mergeExecutor } from "./merge.ts";
