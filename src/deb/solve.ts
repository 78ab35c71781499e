/** From the packages asked for to all that an image of them needs. */
import { conflict, notFound } from "../base/errors.ts";
import { type Dependency, formatDependencies, versionFits } from "./dependency.ts";
import { isScriptOnly } from "./script-only.ts";
import { type Candidate, fits, type Universe } from "./universe.ts";

export interface Request {
  name: string;
  version?: string;
}

const importance = ["required", "important", "standard", "optional", "extra"];

/** Libraries that verify TLS peers: images with one of them get the authorities' certificates, as distroless. */
const tlsLibrary = /^(libssl\d|libgnutls\d|libnss3|libmbedtls\d|libwolfssl\d)/;

/**
 * The dependency closure, as apt would choose it on an empty machine without recommendations: of alternatives
 * the first that can be had, of versions the default one that fits. Essential packages come only when something
 * depends on them, and what only maintainer scripts use does not come (docs/deb-images.md).
 * The result does not depend on the order of the requests.
 */
export async function solve(
  universe: Universe,
  requests: readonly Request[],
): Promise<{ packages: Candidate[]; requested: Set<string> }> {
  const chosen = new Map<string, Candidate>();
  const queue: Candidate[] = [];
  const choose = (candidate: Candidate) => {
    chosen.set(candidate.name, candidate);
    queue.push(candidate);
  };
  const requested = [...requests].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const request of requested) {
    const candidate = await findRequested(universe, request);
    if (!chosen.has(candidate.name)) choose(candidate);
  }
  // A virtual package that was asked for stands for the one that provides it.
  const names = new Set(chosen.keys());
  for (let trusted = false; ; trusted = true) {
    for (let next = queue.shift(); next; next = queue.shift())
      for (const group of [...next.preDepends, ...next.depends]) {
        if ([...chosen.values()].some((other) => group.some((item) => fits(other, item)))) continue;
        // An alternative to what only scripts use serves the same scripts.
        if (group.some((item) => isScriptOnly(next!.name, item.name))) continue;
        choose(await findDependency(universe, next, group, chosen));
      }
    if (trusted || chosen.has("ca-certificates")) break;
    if (![...chosen.keys()].some((name) => tlsLibrary.test(name))) break;
    const [authorities] = await universe.versions("ca-certificates");
    if (authorities) choose(authorities);
  }
  refuseConflicts(chosen);
  return { packages: inOrder(chosen), requested: names };
}

async function findRequested(universe: Universe, request: Request): Promise<Candidate> {
  const versions = await universe.versions(request.name);
  const wanted = versions.find(({ version }) => request.version === undefined || version === request.version);
  if (wanted) return wanted;
  if (versions.length > 0)
    throw notFound(
      `package ${request.name} has no version ${request.version}; there is ${versions.map(({ version }) => version).join(", ")}`,
    );
  const providers = await universe.providers(request.name);
  if (providers.length === 1 && request.version === undefined) return providers[0]!;
  throw notFound(
    providers.length > 0
      ? `package ${request.name} is virtual; name one that provides it: ${providers.map(({ name }) => name).join(", ")}`
      : `package ${request.name} is in none of the machine's Debian archives`,
  );
}

async function findDependency(
  universe: Universe,
  of: Candidate,
  group: readonly Dependency[],
  chosen: ReadonlyMap<string, Candidate>,
): Promise<Candidate> {
  const problems: string[] = [];
  for (const item of group) {
    const held = chosen.get(item.name);
    if (held) {
      problems.push(`${held.name} ${held.version} is needed as well`);
      continue;
    }
    const versions = await universe.versions(item.name);
    const real = versions.find((candidate) => fits(candidate, item));
    if (real) return real;
    const providers = (await universe.providers(item.name)).filter(
      (candidate) => fits(candidate, item) && !chosen.has(candidate.name),
    );
    const rank = ({ importance: word }: Candidate) => (importance.indexOf(word) + 99) % 99;
    providers.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
    if (providers[0]) return providers[0];
    problems.push(
      versions.length > 0
        ? `${item.name} is there in version ${versions.map(({ version }) => version).join(", ")}`
        : `${item.name} is in no archive`,
    );
  }
  throw conflict(
    `${of.name} ${of.version} depends on ${formatDependencies(group)}, but ${problems.join(", and ")}`,
  );
}

function refuseConflicts(chosen: ReadonlyMap<string, Candidate>): void {
  for (const one of chosen.values())
    for (const [word, groups] of [
      ["conflicts with", one.conflicts],
      ["breaks", one.breaks],
    ] as const)
      for (const item of groups.flat()) {
        const other = [...chosen.values()].find(
          (candidate) => candidate !== one && conflictsWith(candidate, item),
        );
        if (other)
          throw conflict(
            `${one.name} ${one.version} ${word} ${formatDependencies([item])}, which ${other.name} ${other.version} is`,
          );
      }
}

function conflictsWith(candidate: Candidate, item: Dependency): boolean {
  if (candidate.name === item.name) return versionFits(item, candidate.version);
  return candidate.provides.some(({ name, version }) => name === item.name && versionFits(item, version));
}

/**
 * The order of layers: what is needed before what needs it, the C library and its kin in front, so that images
 * have as long a beginning in common as they can.
 */
function inOrder(chosen: ReadonlyMap<string, Candidate>): Candidate[] {
  const order = new Set<Candidate>();
  const visiting = new Set<string>();
  const visit = (candidate: Candidate | undefined) => {
    if (!candidate || order.has(candidate) || visiting.has(candidate.name)) return;
    visiting.add(candidate.name);
    const groups = [...candidate.preDepends, ...candidate.depends];
    const needed = [...chosen.values()].filter((other) =>
      groups.some((group) => group.some((item) => fits(other, item))),
    );
    for (const other of needed.sort(byName)) visit(other);
    order.add(candidate);
  };
  visit(chosen.get("libc6"));
  for (const candidate of [...chosen.values()].sort(byName)) visit(candidate);
  return [...order];
}

const byName = (a: Candidate, b: Candidate): number => (a.name < b.name ? -1 : 1);
