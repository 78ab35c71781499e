/** Relationship fields: `a (>= 1) | b, c:any` (Debian policy, chapter 7). */
import { type Relation, satisfies } from "./version.ts";

export interface Dependency {
  name: string;
  /** `any`, or an architecture. */
  qualifier?: string;
  relation?: Relation;
  version?: string;
}

const pattern =
  /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?$/i;

/** Groups of alternatives. An item that is malformed is kept as an impossible one, so that it is reported. */
export function parseDependencies(field: string | undefined): Dependency[][] {
  if (!field) return [];
  return field
    .split(",")
    .map((group) => group.trim().replace(/\s+/g, " "))
    .filter((group) => group !== "")
    .map((group) => group.split("|").map((item) => parseDependency(item.trim())));
}

function parseDependency(item: string): Dependency {
  const match = pattern.exec(item);
  if (!match) return { name: item };
  const [, name = "", qualifier, sign, version] = match;
  const dependency: Dependency = { name };
  if (qualifier !== undefined) dependency.qualifier = qualifier;
  if (sign !== undefined && version !== undefined) {
    // The single signs are old spellings of the inclusive relations.
    dependency.relation = sign === "<" ? "<=" : sign === ">" ? ">=" : (sign as Relation);
    dependency.version = version;
  }
  return dependency;
}

/** True when a version (undefined: an unversioned provision) satisfies the dependency's relation. */
export function versionFits(dependency: Dependency, version: string | undefined): boolean {
  if (dependency.relation === undefined) return true;
  return version !== undefined && satisfies(version, dependency.relation, dependency.version!);
}

/** The text of a group, as in the field. */
export const formatDependencies = (group: readonly Dependency[]): string =>
  group
    .map(({ name, qualifier, relation, version }) => {
      const full = qualifier ? `${name}:${qualifier}` : name;
      return relation ? `${full} (${relation} ${version})` : full;
    })
    .join(" | ");
