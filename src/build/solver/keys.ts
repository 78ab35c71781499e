import type { Digest } from "../../oci/digest.ts";
import { digestOf, keyOf, type Vertex } from "../graph.ts";

const pinned = new WeakMap<Vertex, boolean>();

/**
 * True when the definition alone decides the result: nothing of it is a client's directory, a branch, or a URL
 * without a checksum. Then the vertex's digest is a key by itself, and no input has to be looked at.
 */
export function isPinned(vertex: Vertex): boolean {
  let known = pinned.get(vertex);
  if (known === undefined) {
    known = isSourcePinned(vertex) && vertex.inputs.every(isPinned);
    pinned.set(vertex, known);
  }
  return known;
}

function isSourcePinned({ operation }: Vertex): boolean {
  switch (operation.kind) {
    case "local":
      return false;
    case "git":
      return isCommit(operation.ref) || isCommit(operation.checksum);
    case "http":
      return operation.checksum !== undefined;
    default:
      return true;
  }
}

const isCommit = (text: string | undefined) =>
  text !== undefined && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);

export const isSource = ({ operation: { kind } }: Vertex): boolean =>
  kind === "image" || kind === "local" || kind === "git" || kind === "http";

/** The input that is the operation's root filesystem. */
export function baseOf({ operation }: Vertex): number | undefined {
  if (operation.kind === "run" || operation.kind === "files") return operation.base;
  return operation.kind === "merge" ? 0 : undefined;
}

/** The input of which only the key counts for a content key: the base, unless something is taken of it as well. */
export function keyOnlyInput(vertex: Vertex): number | undefined {
  const { operation } = vertex;
  const base = baseOf(vertex);
  const taken =
    (operation.kind === "run" &&
      operation.mounts.some((mount) => mount.type === "bind" && mount.input === base)) ||
    (operation.kind === "files" &&
      operation.actions.some((action) => action.action === "copy" && action.input === base));
  return taken ? undefined : base;
}

/** Key of an operation on inputs with these keys. */
export const inputKey = ({ operation, platform }: Vertex, inputs: readonly Digest[]): Digest =>
  digestOf([keyOf(operation), platform, inputs]);

/** Key of an operation whose inputs' content says what it comes to. */
export const contentKey = ({ operation }: Vertex, content: Digest): Digest =>
  digestOf(["content", operation.kind, content]);

/** A key that nothing had before: what was made anew on request, and what is built on it, is not what it was. */
export const freshKey = (key: Digest): Digest => digestOf([key, crypto.randomUUID()]);
