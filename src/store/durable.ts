import { open } from "node:fs/promises";

/** Makes a directory's entries durable: after a rename into it, the new name survives a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
