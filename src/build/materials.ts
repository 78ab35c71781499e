/** What a build was made from, as provenance names it (in-toto, SLSA: materials). */
import type { Material } from "./export/index.ts";
import type { Compiled } from "./frontend/types.ts";
import type { Vertex } from "./graph.ts";

export function materialsOf({ materials, targets }: Compiled): Material[] {
  const found = new Map<string, Material>();
  for (const { reference, platform, digest } of materials) {
    const [algorithm = "sha256", hex = ""] = digest.split(":");
    const of = [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
    add(found, {
      uri: `pkg:docker/${packageName(reference)}?platform=${encodeURIComponent(of)}`,
      digest: { [algorithm]: hex },
    });
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

/** `docker.io/library/busybox:1` is busybox@1 to a package URL; other hosts stay. */
function packageName(reference: string): string {
  const [name = "", digest] = reference.split("@", 2);
  const colon = name.lastIndexOf(":");
  const tagged = colon > name.lastIndexOf("/");
  const path = (tagged ? name.slice(0, colon) : name).replace(/^docker\.io\/(library\/)?/, "");
  const version = tagged ? name.slice(colon + 1) : undefined;
  const digestPart = digest ? `?digest=${digest}` : "";
  return `${path}${version ? `@${version}` : ""}${digestPart}`;
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
