/** Files of the cache: visible only complete, and trusted only when they can be read. */
import { randomBytes } from "node:crypto";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Writes a file under a temporary name and renames it. The cache can be made anew: it is not synced. */
export async function publish(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeFile(temporary, data, { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

export const temporaryName = (path: string): string => `${path}.${randomBytes(6).toString("hex")}.tmp`;

/** A JSON file, or undefined when it is missing or torn. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as T;
  } catch {
    return undefined;
  }
}

const unusedFor = 7 * 24 * 3600 * 1000;

/** Removes what nobody has written or read for a week, except `keep` (names of files). */
export async function prune(folder: string, keep: readonly string[]): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (keep.includes(name)) continue;
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    const used = Math.max(info?.mtimeMs ?? 0, info?.atimeMs ?? 0);
    if (info && used < Date.now() - unusedFor) await rm(path, { force: true });
  }
}
