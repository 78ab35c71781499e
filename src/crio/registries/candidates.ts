import { CortenError, invalid } from "../../base/errors.ts";
import { formatReference, parseImageName, parseReference } from "../../oci/reference.ts";
import type { Candidate, Registries, RegistryRule } from "./types.ts";

/** True when the first part of a name is a registry, by Docker's rule: it has a dot or a port, or is localhost. */
export function isQualified(text: string): boolean {
  const slash = text.indexOf("/");
  if (slash < 0) return false;
  const first = text.slice(0, slash);
  return first.includes(".") || first.includes(":") || first === "localhost";
}

/**
 * The whole names that a name may stand for, in the order to try: itself, its alias, or one per registry to search. With
 * `enforcing`, nobody being there to choose, more than one such registry is refused.
 */
export function expandName({ search, aliases }: Registries, text: string, enforcing = false): string[] {
  if (isQualified(text)) return [canonical(text)];
  const { name, rest } = splitName(text);
  const alias = aliases[name];
  if (alias !== undefined) return [canonical(`${alias}${rest}`)];
  if (search.length === 0)
    throw invalid(
      `short-name ${JSON.stringify(text)} did not resolve to an alias and no unqualified-search registries are defined`,
    );
  if (enforcing && search.length > 1)
    throw invalid(
      `short name mode is enforcing, but image name ${JSON.stringify(text)} returns ambiguous list: ${search.join(", ")}`,
    );
  return search.map((registry) => canonical(`${registry}/${text}`));
}

function splitName(text: string): { name: string; rest: string } {
  const at = text.search(/[:@]/);
  return at < 0 ? { name: text, rest: "" } : { name: text.slice(0, at), rest: text.slice(at) };
}

function canonical(text: string): string {
  return formatReference(parseImageName(text));
}

/** Where an image is asked for: the mirrors of its rule in order, then the rule's own location. */
export function candidatesFor(
  { rules }: Registries,
  insecureRegistries: readonly string[],
  name: string,
): Candidate[] {
  const reference = parseReference(name);
  const insecure = (location: string) => insecureRegistries.includes(location.split("/")[0]!);
  const rule = ruleFor(rules, name);
  if (!rule) return [{ reference: name, insecure: insecure(reference.domain) }];
  if (rule.blocked)
    throw new CortenError("permission_denied", `registry ${rule.prefix} is blocked in registries.conf`);
  const digested = reference.digest !== undefined;
  const mirrors = rule.mirrors.filter(({ pullFrom }) => {
    if (rule.mirrorByDigestOnly || pullFrom === "digest-only") return digested;
    return pullFrom !== "tag-only" || !digested;
  });
  return [...mirrors, rule].map((source) => ({
    reference: rewrite(rule, source.location, name),
    insecure: source.insecure || insecure(source.location || reference.domain),
  }));
}

/** The rule with the longest prefix that covers the name. */
function ruleFor(rules: readonly RegistryRule[], name: string): RegistryRule | undefined {
  let best: RegistryRule | undefined;
  for (const rule of rules)
    if (covers(rule.prefix, name) && rule.prefix.length > (best?.prefix.length ?? -1)) best = rule;
  return best;
}

function covers(prefix: string, name: string): boolean {
  if (prefix.startsWith("*.")) return name.split("/")[0]!.split(":")[0]!.endsWith(prefix.slice(1));
  if (!name.startsWith(prefix)) return false;
  const next = name[prefix.length];
  return next === undefined || next === "/" || next === ":" || next === "@";
}

/** The name with its prefix replaced; a wildcard stands for the whole host. */
function rewrite({ prefix }: RegistryRule, location: string, name: string): string {
  if (location === "") return name;
  const rest = prefix.startsWith("*.") ? name.slice(name.indexOf("/")) : name.slice(prefix.length);
  return `${location}${rest}`;
}
