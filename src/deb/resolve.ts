/** From a reference to the exact packages of an image, by what the machine's archives offer now. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { notFound } from "../base/errors.ts";
import type { Distribution } from "./base-layer.ts";
import { prune, publish, readJson } from "./files.ts";
import { openIndex } from "./package-index.ts";
import type { DebReference } from "./reference.ts";
import { indexPaths, loadRelease, nameOf, priorityOf, type Release, type ReleaseContext } from "./release.ts";
import { solve } from "./solve.ts";
import { readSources, type Source } from "./sources.ts";
import { type Candidate, createUniverse } from "./universe.ts";

export interface ResolvedPackage {
  name: string;
  version: string;
  architecture: string;
  sourceName: string;
  sha256: string;
  size: number;
  url: string;
  requested: boolean;
}

export interface Resolution {
  packages: ResolvedPackage[];
  distribution: Distribution;
}

/** Part of the cache's keys: to be raised when the same archives give another choice of packages. */
const solverVersion = 1;
const busy = new KeyedMutex();

/** Resolves a reference; the answer is kept for as long as the release files stay the same. */
export function resolvePackages(
  reference: DebReference,
  architecture: string,
  context: ReleaseContext,
): Promise<Resolution> {
  return busy.run(context.cacheDir, () => resolveAlone(reference, architecture, context));
}

async function resolveAlone(
  reference: DebReference,
  architecture: string,
  context: ReleaseContext,
): Promise<Resolution> {
  const warn = (message: string) => context.emit({ kind: "warning", message });
  const sources = (await readSources(context.aptDir, warn)).filter(
    ({ architectures }) => architectures.length === 0 || architectures.includes(architecture),
  );
  if (sources.length === 0)
    throw notFound(`no Debian archives for ${architecture} are configured in ${context.aptDir}`);
  const skipped: string[] = [];
  const observed: ReleaseContext = {
    ...context,
    emit(event) {
      if (event.kind === "release" && event.state === "skipped")
        skipped.push(`${event.source}: ${event.reason}`);
      context.emit(event);
    },
  };
  const loaded = await loadAll(sources, observed);
  const releases = reference.suite === undefined ? loaded : ofSuite(loaded, reference.suite);
  if (releases.length === 0)
    throw notFound(
      `no Debian archive${reference.suite ? ` of ${reference.suite}` : ""} can be used` +
        (skipped.length > 0 ? `; ${skipped.join("; ")}` : `; there is ${sources.map(nameOf).join(", ")}`),
    );
  const requests = [...reference.packages].sort((a, b) => (a.name < b.name ? -1 : 1));
  const key = createHash("sha256")
    .update(
      JSON.stringify([
        solverVersion,
        architecture,
        reference.suite ?? "",
        requests,
        releases.map(({ id, source }) => [id, source.uri, source.suite, source.components]),
      ]),
    )
    .digest("hex");
  const folder = join(context.cacheDir, "resolutions");
  const path = join(folder, `${key}.json`);
  const kept = await readJson<Resolution>(path);
  if (kept) return kept;
  try {
    const resolution = await solveWith(releases, requests, architecture, context);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await publish(path, JSON.stringify(resolution));
    await prune(folder, []);
    return resolution;
  } catch (error) {
    // What is missing may be in an archive that could not be used: say so.
    if (error instanceof Error && skipped.length > 0) error.message += ` (not used: ${skipped.join("; ")})`;
    throw error;
  }
}

async function loadAll(sources: readonly Source[], context: ReleaseContext): Promise<Release[]> {
  // Sources that differ in components only share a release file.
  const loading = new Map<string, Promise<Release | undefined>>();
  const loaded = await Promise.allSettled(
    sources.map(async (source) => {
      const key = JSON.stringify([source.uri, source.suite, source.signedBy, source.trusted]);
      const release = loading.get(key) ?? loadRelease(source, context);
      loading.set(key, release);
      const found = await release;
      return found && { ...found, source };
    }),
  );
  return loaded.flatMap((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value ?? [];
  });
}

/** The suite itself and what belongs to it: its updates and security fixes, under backports the base as well. */
function ofSuite(releases: readonly Release[], suite: string): Release[] {
  const family = familyOf(suite);
  const names = ({ source, fields }: Release) => [source.suite, fields.get("suite"), fields.get("codename")];
  const found = releases.filter((release) =>
    names(release).some(
      (name) =>
        name === suite || (name !== undefined && familyOf(name) === family && !name.includes("backports")),
    ),
  );
  return found.map((release) =>
    names(release).includes(suite) && priorityOf(release) < 500
      ? { ...release, fields: withoutPenalty(release) }
      : release,
  );
}

/** A suite asked for by name is as good as the others, even when it is not automatic. */
function withoutPenalty({ fields }: Release): Release["fields"] {
  const copy = new Map(fields);
  copy.delete("notautomatic");
  return copy;
}

const familyOf = (suite: string): string =>
  suite.replace(/[/-](updates|security|backports|backports-sloppy|proposed-updates)$/, "");

async function solveWith(
  releases: readonly Release[],
  requests: DebReference["packages"],
  architecture: string,
  context: ReleaseContext,
): Promise<Resolution> {
  const { proxy } = await context.settings();
  const options = { proxy, signal: context.signal };
  const opened = await Promise.allSettled(
    releases
      .flatMap((release) => indexPaths(release, architecture).map((path) => [release, path] as const))
      .map(([release, path]) => openIndex(release, path, context.cacheDir, options, context.emit)),
  );
  const indexes = opened.flatMap((result) => (result.status === "fulfilled" ? (result.value ?? []) : []));
  try {
    for (const result of opened) if (result.status === "rejected") throw result.reason;
    const universe = createUniverse(indexes, architecture);
    const { packages, requested } = await solve(universe, requests);
    const [base] = await universe.versions("base-files");
    await prune(
      join(context.cacheDir, "indexes"),
      indexes.flatMap(({ files }) => files),
    );
    return {
      packages: packages.map((candidate) => resolved(candidate, requested.has(candidate.name))),
      distribution: distributionOf((base ?? packages[0]!).release),
    };
  } finally {
    for (const index of indexes) await index.close();
  }
}

function resolved(candidate: Candidate, requested: boolean): ResolvedPackage {
  const { name, version, architecture, sourceName, sha256, size, url } = candidate;
  return { name, version, architecture, sourceName, sha256, size, url, requested };
}

function distributionOf({ fields, source }: Release): Distribution {
  const plain = (text: string) => text.replace(/[^A-Za-z0-9. _-]/g, "");
  const origin = plain(fields.get("origin") ?? "Debian") || "Debian";
  const codename = familyOf(plain(fields.get("codename") ?? source.suite)) || "unknown";
  const version = plain(fields.get("version") ?? "");
  const versionId = origin === "Debian" ? version.split(".", 1)[0] : version;
  return {
    id: origin.toLowerCase().replaceAll(" ", "-"),
    name: origin === "Debian" ? "Debian GNU/Linux" : origin,
    codename,
    ...(versionId && { versionId }),
  };
}
