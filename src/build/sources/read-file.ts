import { openMounts } from "../../sys/mount.ts";
import { ignoring } from "../files/filter.ts";
import { readFileIn } from "../files/owner.ts";
import { cleanInRoot, Root, toBytes } from "../files/root.ts";
import { type Access, withView } from "../files/snapshot.ts";
import type { Result } from "../types.ts";

/**
 * One regular file of a result (links are followed inside of it), at most `limit` bytes; undefined when there is none.
 * For `SourceReader`: Dockerfile and .dockerignore of git and http contexts.
 */
export async function readFile(
  result: Result,
  path: string,
  limit: number,
  access: Access & { head?: boolean },
): Promise<Uint8Array | undefined> {
  const clean = cleanInRoot(toBytes(path));
  if (result.kind === "directory") {
    if (!ignoring(result.exclude).wants(clean)) return undefined;
    using root = Root.open(result.path);
    return readFileIn(root, clean, limit, access);
  }
  return withView(access, result.layers, (mounts) => {
    using root = new Root(openMounts(mounts));
    return readFileIn(root, clean, limit, access);
  });
}
