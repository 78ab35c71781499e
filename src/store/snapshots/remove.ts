import { rm } from "node:fs/promises";

/** Removes trees off this thread, one after the other: thousands of files would hold up everything else. */
export async function removeDirectories(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { recursive: true, force: true });
}
