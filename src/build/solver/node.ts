import type { Digest } from "../../oci/digest.ts";
import type { StoredResult } from "../cache/index.ts";
import type { Vertex } from "../graph.ts";
import type { Evaluated, Keys } from "./types.ts";
import type { VertexReport } from "./vertex-report.ts";

/** A vertex in this build. */
export interface Node {
  readonly vertex: Vertex;
  readonly inputs: readonly Node[];
  /** It or something below it must not come from the cache. */
  readonly fresh: boolean;
  readonly report: VertexReport;
  keys?: Promise<Keys>;
  /** The canonical key, once known. */
  key?: Digest;
  evaluated?: Promise<Evaluated>;
  /** When `evaluated` has come. */
  found?: Evaluated;
}

export const fromStore = ({ id, key, layers, createdAt }: StoredResult, cached: boolean): Evaluated => ({
  result: { kind: "layers", key, layers },
  id,
  createdAt,
  cached,
});

/** What was not looked at because what is built on it was in the cache. */
export function skip(nodes: readonly Node[]): void {
  for (const node of nodes) {
    if (node.evaluated || node.report.isDone || node.vertex.operation.kind === "local") continue;
    skip(node.inputs);
    node.report.completed(true);
  }
}
