import { randomBytes } from "node:crypto";
import { invalid } from "../../base/errors.ts";
import type { BuildRequest, CacheSpec, OutputSpec } from "../../build/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { formatReference, parseImageName, parseReference, withDefaultTag } from "../../oci/reference.ts";
import type { Query } from "../http/query.ts";

/** What the query of `POST /build` decides; the rest of a request comes from the body and the headers. */
export type QueryOptions = Pick<
  BuildRequest,
  | "id"
  | "tags"
  | "buildArgs"
  | "labels"
  | "platforms"
  | "noCache"
  | "pull"
  | "extraHosts"
  | "network"
  | "ulimits"
  | "cacheFrom"
  | "outputs"
  | "squash"
> &
  Partial<
    Pick<BuildRequest, "filename" | "target" | "remoteContext" | "shmSize" | "cgroupParent" | "resources">
  > & {
    quiet: boolean;
  };

/** Reads the query as Docker's `newImageBuildOptions` does; unreadable JSON is an error that names its parameter. */
export function buildOptions(query: Query): QueryOptions {
  const text = (name: string) => query.string(name).trim();
  const network = text("networkmode");
  const platform = text("platform");
  const ulimits = json<{ Name: string; Soft: number; Hard: number }[]>(query, "ulimits", []);
  const resources = resourcesOf(query);
  return {
    id: text("buildid") || randomBytes(12).toString("hex"),
    ...(text("dockerfile") === "" ? {} : { filename: text("dockerfile") }),
    ...(text("remote") === "" ? {} : { remoteContext: text("remote") }),
    ...(text("target") === "" ? {} : { target: text("target") }),
    tags: [...new Set(query.all("t").filter(Boolean).map(tagName))],
    quiet: query.bool("q"),
    noCache: query.bool("nocache"),
    pull: query.bool("pull"),
    squash: query.bool("squash"),
    buildArgs: withValues(json<Record<string, string | null>>(query, "buildargs", {})),
    labels: withValues(json<Record<string, string | null>>(query, "labels", {})),
    platforms: platform === "" ? [] : platform.split(",").map((one) => parsePlatform(one.trim())),
    extraHosts: query
      .all("extrahosts")
      .flatMap((one) => one.split(","))
      .filter(Boolean),
    network: networkOf(network),
    ulimits: ulimits.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
    ...(query.int("shmsize") ? { shmSize: query.int("shmsize")! } : {}),
    ...(text("cgroupparent") === "" ? {} : { cgroupParent: text("cgroupparent") }),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    cacheFrom: json<string[]>(query, "cachefrom", []).map(
      (ref): CacheSpec => ({ type: "registry", attributes: { ref } }),
    ),
    outputs: outputsOf(
      json<{ Type: string; Attrs?: Record<string, string> }[]>(query, "outputs", []).map(
        ({ Type, Attrs }): OutputSpec => ({ type: outputType(Type), attributes: Attrs ?? {} }),
      ),
    ),
  };
}

export function tagName(text: string): string {
  try {
    const parsed = withDefaultTag(parseImageName(text));
    if (parsed.digest !== undefined) throw invalid("refusing to create a tag with a digest reference");
    return formatReference(parsed);
  } catch (error) {
    // Says what is wrong with the name in Docker's words.
    parseReference(text);
    throw error;
  }
}

export function networkOf(text: string): BuildRequest["network"] {
  if (text === "" || text === "default" || text === "bridge") return "default";
  if (text === "none" || text === "host") return text;
  if (text.startsWith("container:")) return text as `container:${string}`;
  throw invalid(`network mode ${JSON.stringify(text)} is not supported for builds`);
}

const outputsOf = (given: OutputSpec[]): OutputSpec[] =>
  given.length === 0 ? [{ type: "image", attributes: {} }] : given;

const outputTypes = ["image", "docker", "oci", "tar", "local", "cacheonly"] as const;
function outputType(type: string): OutputSpec["type"] {
  const found = outputTypes.find((one) => one === type);
  if (!found) throw invalid(`unsupported output type: ${JSON.stringify(type)}`);
  // `docker` without a place to go to is this daemon's own store.
  return found === "docker" ? "image" : found;
}

/** A name without a value is one that the client has none for: as if it was not given. */
function withValues(all: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [[name, value]])),
  );
}

function json<T>(query: Query, name: string, fallback: T): T {
  const text = query.string(name);
  if (text === "") return fallback;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`error reading ${name}: ${(error as Error).message}`, error);
  }
  if (value === null) return fallback;
  if (typeof value !== "object" || Array.isArray(value) !== Array.isArray(fallback))
    throw invalid(`error reading ${name}: ${Array.isArray(fallback) ? "a list" : "an object"} is wanted`);
  return value as T;
}

function resourcesOf(query: Query): NonNullable<BuildRequest["resources"]> {
  const numbers = {
    memory: query.int("memory"),
    memorySwap: query.int("memswap"),
    cpuShares: query.int("cpushares"),
    cpuPeriod: query.int("cpuperiod"),
    cpuQuota: query.int("cpuquota"),
  };
  const texts = { cpusetCpus: query.string("cpusetcpus"), cpusetMems: query.string("cpusetmems") };
  return Object.fromEntries(Object.entries({ ...numbers, ...texts }).filter(([, value]) => Boolean(value)));
}
