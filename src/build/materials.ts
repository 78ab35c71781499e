/** What a build was made from, as provenance names it (in-toto, SLSA: materials). */
import type { Material } from "./export/index.ts";
import type { Compiled } from "./frontend/types.ts";
import type { Vertex } from "./graph.ts";
import { packageUrl } from "./package-url.ts";

export function materialsOf({ materials, targets }: Compiled): Material[] {
  const found = new Map<string, Material>();
  for (const { reference, platform, digest } of materials) {
    const [algorithm = "sha256", hex = ""] = digest.split(":");
    const uri = packageUrl(reference, platform);
    if (uri !== undefined) add(found, { uri, digest: { [algorithm]: hex } });
  }
  const seen = new Set<Vertex>();
  const visit = (vertex: Vertex): void => {
    if (seen.has(vertex)) return;
    seen.add(vertex);
    const material = sourceMaterial(vertex);
    if (material) add(found, material);
    vertex.inputs.forEach(visit);
  };
  for (const { vertex } of targets) if (vertex) visit(vertex);
  return [...found.values()];
}

function add(found: Map<string, Material>, material: Material): void {
  if (!found.has(material.uri)) found.set(material.uri, material);
}

function sourceMaterial({ operation }: Vertex): Material | undefined {
  if (operation.kind === "git") {
    const commit =
      operation.checksum ?? (/^[0-9a-f]{40}$/.test(operation.ref ?? "") ? operation.ref : undefined);
    const uri = operation.ref ? `${operation.url}#${operation.ref}` : operation.url;
    return { uri, digest: commit ? { sha1: commit } : {} };
  }
  if (operation.kind === "http") {
    const [algorithm, hex] = operation.checksum?.split(":") ?? [];
    return { uri: operation.url, digest: algorithm && hex ? { [algorithm]: hex } : {} };
  }
  return undefined;
}

/** True when no step had a network and every source says what it must be. */
export function isHermetic({ targets }: Compiled): boolean {
  const seen = new Set<Vertex>();
  const check = (vertex: Vertex): boolean => {
    if (seen.has(vertex)) return true;
    seen.add(vertex);
    const { operation } = vertex;
    if (operation.kind === "run" && operation.network !== "none") return false;
    if (operation.kind === "http" && !operation.checksum) return false;
    if (operation.kind === "git" && !operation.checksum && !/^[0-9a-f]{40}$/.test(operation.ref ?? ""))
      return false;
    return vertex.inputs.every(check);
  };
  return targets.every(({ vertex }) => vertex === undefined || check(vertex));
}
