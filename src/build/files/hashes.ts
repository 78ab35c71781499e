import type { FileHashes } from "../types.ts";

/** Digests of the files of one directory, kept in a file below `root` (services.root) from build to build. */
export declare function openFileHashes(root: string, directory: string): FileHashes & { close(): void };
