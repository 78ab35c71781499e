import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { diskUsage } from "../../sys/disk-usage.ts";

/**
 * Forgets the repositories and the addresses that sources were fetched from; what was built with them is the cache's.
 * Returns the bytes freed. No build may run meanwhile.
 */
export async function pruneSources(root: string): Promise<number> {
  let freed = 0;
  for (const name of ["git", "http"]) {
    const path = join(root, name);
    if (!existsSync(path)) continue;
    freed += (await diskUsage(path)).size;
    await rm(path, { recursive: true, force: true });
  }
  return freed;
}
