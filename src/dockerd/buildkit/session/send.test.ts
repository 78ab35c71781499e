import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sendDirectory } from "./send.ts";
import type { Session } from "./sessions.ts";

/** The metadata of the call with which an output's files are sent. */
async function metadataOf(mirror: boolean): Promise<Record<string, string[]> | undefined> {
  let seen: Record<string, string[]> | undefined;
  const client = {
    open: (_method: unknown, metadata: Record<string, string[]>) => {
      seen = metadata;
      throw new Error("seen");
    },
  };
  const directory = mkdtempSync(join(tmpdir(), "corten-send-"));
  try {
    const session = { supports: () => true, client } as unknown as Session;
    await sendDirectory(session, { index: 3, mirror }, directory, AbortSignal.timeout(10_000), () => {});
  } catch (error) {
    if ((error as Error).message !== "seen") throw error;
  } finally {
    rmSync(directory, { recursive: true });
  }
  return seen;
}

test("a client that is to remove what does not come hears that all platforms come in one call", async () => {
  const plain = { "buildkit-attachable-exporter-id": ["3"] };
  expect(await metadataOf(false)).toEqual(plain);
  expect(await metadataOf(true)).toEqual({ ...plain, "buildkit-exporter-multi-platform": ["1"] });
});
