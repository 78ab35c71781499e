import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Bytes of all files below a directory; what vanishes meanwhile counts nothing. */
export async function directorySize(path: string): Promise<number> {
  let total = 0;
  try {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const full = join(path, entry.name);
      if (entry.isDirectory()) total += await directorySize(full);
      else if (entry.isFile()) total += (await lstat(full)).size;
    }
  } catch {
    // Gone, or not ours to read.
  }
  return total;
}
