import type { Digest } from "../../oci/digest.ts";
import type { Cache, Uses } from "../cache/index.ts";
import type { CacheRecord } from "../export/index.ts";
import { baseOf } from "./keys.ts";
import type { Node } from "./node.ts";

/** The records of everything below `targets`, inputs first, each once. */
export function exportedRecords(targets: readonly Node[], cache: Cache, uses: Uses): CacheRecord[] {
  const final = new Set<Node>();
  for (const target of targets) markFinal(target, final);
  const records = new Map<Digest, CacheRecord>();
  const seen = new Set<Node>();
  const visit = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    for (const input of node.inputs) visit(input);
    // What was skipped is known by its definition.
    const key = node.key ?? cache.resolve(node.vertex.digest);
    const stored = key === undefined ? undefined : cache.peek(key, uses);
    if (!stored) return;
    const known = records.get(stored.key);
    const { layers, createdAt } = stored;
    records.set(stored.key, {
      key: stored.key,
      aliases: cache.aliasesOf(stored.key),
      layers,
      createdAt,
      final: final.has(node) || (known?.final ?? false),
    });
  };
  for (const target of targets) visit(target);
  return [...records.values()];
}

function markFinal(node: Node, final: Set<Node>): void {
  if (final.has(node)) return;
  final.add(node);
  const base = baseOf(node.vertex);
  if (node.vertex.operation.kind === "merge") for (const input of node.inputs) markFinal(input, final);
  else if (base !== undefined && node.inputs[base]) markFinal(node.inputs[base], final);
}
