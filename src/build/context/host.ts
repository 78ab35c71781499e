import type { Contexts } from "../types.ts";

/** Directories of this host, by the names the build knows them under; `root` is services.root (file digests). */
export declare function hostDirectories(
  directories: Readonly<Record<string, string>>,
  options: { root: string },
): Contexts;
