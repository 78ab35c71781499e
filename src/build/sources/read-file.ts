import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Result } from "../types.ts";

/**
 * One regular file of a result (links are followed inside of it), at most `limit` bytes; undefined when there is none.
 * For `SourceReader`: Dockerfile and .dockerignore of git and http contexts.
 */
export declare function readFile(
  result: Result,
  path: string,
  limit: number,
  access: { client: ContainerdClient; snapshotter: string },
): Promise<Uint8Array | undefined>;
