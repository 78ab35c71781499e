/** All packages that the machine's archives offer for an architecture, asked by name. */
import type { Paragraph } from "./control.ts";
import { type Dependency, parseDependencies, versionFits } from "./dependency.ts";
import type { PackageIndex } from "./package-index.ts";
import { isPlainPath, priorityOf, type Release } from "./release.ts";
import { compareVersions } from "./version.ts";

/** One version of a package in one archive. */
export interface Candidate {
  name: string;
  version: string;
  architecture: string;
  /** Name of the source package it was built from. */
  sourceName: string;
  sha256: string;
  size: number;
  url: string;
  priority: number;
  /** Debian's: required, important, standard, optional. */
  importance: string;
  release: Release;
  preDepends: Dependency[][];
  depends: Dependency[][];
  conflicts: Dependency[][];
  breaks: Dependency[][];
  provides: Dependency[];
}

export interface Universe {
  /** Versions of a package, the one to install by default first. */
  versions(name: string): Promise<Candidate[]>;
  /** Default versions of packages that provide a name. */
  providers(name: string): Promise<Candidate[]>;
}

export function createUniverse(
  indexes: readonly PackageIndex[],
  architecture: string,
  rank: (release: Release) => number = priorityOf,
): Universe {
  const cache = new Map<string, Promise<Candidate[]>>();
  const read = async (name: string): Promise<Candidate[]> => {
    const found: Candidate[] = [];
    for (const index of indexes)
      for (const paragraph of await index.named(name)) {
        const candidate = candidateOf(paragraph, index.release, rank(index.release));
        if (candidate && (candidate.architecture === architecture || candidate.architecture === "all"))
          found.push(candidate);
      }
    // A stable sort: of the same version the archive that stands first in the sources wins.
    return found.sort((a, b) => b.priority - a.priority || compareVersions(b.version, a.version));
  };
  const versions = (name: string) => {
    const known = cache.get(name) ?? read(name);
    cache.set(name, known);
    return known;
  };
  return {
    versions,
    async providers(name) {
      const names = new Set<string>();
      for (const index of indexes)
        for (const paragraph of await index.providing(name)) names.add(paragraph.get("package") ?? "");
      const found: Candidate[] = [];
      for (const provider of [...names].sort()) {
        const best = (await versions(provider))[0];
        if (best?.provides.some((provided) => provided.name === name)) found.push(best);
      }
      return found;
    },
  };
}

function candidateOf(fields: Paragraph, release: Release, priority: number): Candidate | undefined {
  const text = (name: string) => fields.get(name) ?? "";
  const [name, version, architecture] = [text("package"), text("version"), text("architecture")];
  const [sha256, size, filename] = [text("sha256").toLowerCase(), text("size"), text("filename")];
  const plain = filename.replace(/^(\.\/)+/, "");
  if (!/^[a-z0-9][a-z0-9+.-]*$/.test(name) || !/^[0-9A-Za-z.+:~-]+$/.test(version)) return undefined;
  if (!/^[0-9a-f]{64}$/.test(sha256) || !/^\d{1,12}$/.test(size) || !isPlainPath(plain.replaceAll("%", "")))
    return undefined;
  return {
    name,
    version,
    architecture,
    sourceName: text("source").split(" ", 1)[0] || name,
    sha256,
    size: Number(size),
    url: new URL(plain, release.source.uri).href,
    priority,
    importance: text("priority"),
    release,
    preDepends: parseDependencies(fields.get("pre-depends")),
    depends: parseDependencies(fields.get("depends")),
    conflicts: parseDependencies(fields.get("conflicts")),
    breaks: parseDependencies(fields.get("breaks")),
    provides: parseDependencies(fields.get("provides")).flat(),
  };
}

/** True when a package, by its own name or one that it provides, satisfies a dependency. */
export function fits(candidate: Candidate, dependency: Dependency): boolean {
  const { qualifier } = dependency;
  if (qualifier && qualifier !== "any" && qualifier !== "native" && candidate.architecture !== "all")
    if (qualifier !== candidate.architecture) return false;
  if (candidate.name === dependency.name) return versionFits(dependency, candidate.version);
  return candidate.provides.some(
    ({ name, version }) => name === dependency.name && versionFits(dependency, version),
  );
}
