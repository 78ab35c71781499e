import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { invalid } from "../../base/errors.ts";
import { flagOf, readToml, type Table, tableOf, tablesOf, textOf, textsOf } from "../config/toml.ts";
import type { Mirror, Registries, RegistryRule } from "./types.ts";

export interface RegistryFiles {
  /** /etc/containers/registries.conf */
  path: string;
  /** /etc/containers/registries.conf.d: read after it, in the order of their names. */
  dir: string;
}

/** A later file's search list replaces an earlier one's; rules of the same prefix and aliases of the same name likewise. */
export function readRegistries({ path, dir }: RegistryFiles): Registries {
  const all: Registries = { search: [], rules: [], aliases: {} };
  const files = existsSync(path) ? [path] : [];
  if (existsSync(dir))
    files.push(
      ...readdirSync(dir)
        .filter((name) => name.endsWith(".conf"))
        .sort()
        .map((name) => join(dir, name)),
    );
  for (const file of files) {
    const read = parseRegistries(readToml(file), file);
    if (read.search) all.search = read.search;
    for (const rule of read.rules) {
      const at = all.rules.findIndex(({ prefix }) => prefix === rule.prefix);
      if (at < 0) all.rules.push(rule);
      else all.rules[at] = rule;
    }
    Object.assign(all.aliases, read.aliases);
  }
  // An alias to nothing takes away one of an earlier file.
  for (const [name, value] of Object.entries(all.aliases)) if (value === "") delete all.aliases[name];
  return all;
}

export function parseRegistries(
  document: Table,
  file: string,
): Omit<Registries, "search"> & { search: string[] | undefined } {
  if (document["registries"] !== undefined)
    throw invalid(`${file}: version 1 of the format ([registries.search]) is not read; use version 2`);
  const aliases: Record<string, string> = {};
  for (const [name, value] of Object.entries(tableOf(document["aliases"], `${file}: aliases`)))
    aliases[name] = textOf(value, `${file}: aliases.${name}`)!;
  return {
    search: textsOf(document["unqualified-search-registries"], `${file}: unqualified-search-registries`),
    rules: tablesOf(document["registry"], `${file}: registry`).map((entry) => ruleOf(entry, file)),
    aliases,
  };
}

function ruleOf(entry: Table, file: string): RegistryRule {
  const at = (key: string) => `${file}: registry.${key}`;
  const location = trimmed(textOf(entry["location"], at("location")));
  const prefix = trimmed(textOf(entry["prefix"], at("prefix"))) || location;
  if (prefix === "") throw invalid(`${file}: a registry has neither prefix nor location`);
  if (location === "" && !prefix.startsWith("*."))
    throw invalid(`${file}: registry ${prefix} has no location`);
  if (prefix.startsWith("*.") && prefix.includes("/"))
    throw invalid(`${file}: a prefix with a wildcard has no path: ${prefix}`);
  return {
    prefix,
    location,
    insecure: flagOf(entry["insecure"], at("insecure")) ?? false,
    blocked: flagOf(entry["blocked"], at("blocked")) ?? false,
    mirrorByDigestOnly: flagOf(entry["mirror-by-digest-only"], at("mirror-by-digest-only")) ?? false,
    mirrors: tablesOf(entry["mirror"], at("mirror")).map((mirror) => mirrorOf(mirror, file)),
  };
}

const pulls: readonly string[] = ["all", "digest-only", "tag-only"] satisfies Array<Mirror["pullFrom"]>;

function mirrorOf(mirror: Table, file: string): Mirror {
  const at = (key: string) => `${file}: registry.mirror.${key}`;
  const location = trimmed(textOf(mirror["location"], at("location")));
  if (location === "") throw invalid(`${file}: a mirror has no location`);
  const pullFrom = textOf(mirror["pull-from-mirror"], at("pull-from-mirror")) || "all";
  if (!pulls.includes(pullFrom)) throw invalid(`${at("pull-from-mirror")} is ${JSON.stringify(pullFrom)}`);
  return {
    location,
    insecure: flagOf(mirror["insecure"], at("insecure")) ?? false,
    pullFrom: pullFrom as Mirror["pullFrom"],
  };
}

const trimmed = (text: string | undefined) => (text ?? "").replace(/\/+$/, "");
