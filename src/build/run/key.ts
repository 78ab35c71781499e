import type { Digest } from "../../oci/digest.ts";
import { filesExecutor } from "../files/index.ts";
import { digestOf, keyOf, literalPattern, type RunOperation } from "../graph.ts";
import type { Execution } from "../types.ts";

/**
 * The key of a RUN with bind mounts: what is bound counts by its content, so that a context in which only other files
 * changed hits the cache. Without such mounts the inputs' keys say it all.
 */
export async function inputsKey(operation: RunOperation, execution: Execution): Promise<Digest | undefined> {
  const bound = operation.mounts.filter((mount) => mount.type === "bind");
  if (bound.length === 0) return undefined;
  const contents: (string | undefined)[] = [];
  for (const mount of bound) contents.push(await contentOf(execution, mount.input, mount.source));
  const key = (input: number | undefined) =>
    input === undefined ? "" : (execution.inputs[input]?.key ?? "");
  const caches = operation.mounts.map((mount) => (mount.type === "cache" ? key(mount.input) : ""));
  return digestOf([
    // Which input a mount is of does not matter once its content is known.
    {
      ...(keyOf(operation) as RunOperation),
      mounts: operation.mounts.map((mount) => ({ ...mount, input: 0 })),
    },
    execution.vertex.platform,
    key(operation.base),
    contents,
    caches,
  ]);
}

/** What a path of an input shows, as a copy of it onto nothing would be known. */
function contentOf(execution: Execution, input: number, path: string): Promise<Digest | undefined> {
  const source = literalPattern(path);
  const copy = { action: "copy", input, sources: [source === "" ? "/" : source], destination: "/" } as const;
  return filesExecutor.contentKey!({ kind: "files", actions: [copy] }, execution);
}
