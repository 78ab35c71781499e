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
  refuseOthers(query);
  const network = text("networkmode");
  const platform = text("platform");
  const ulimits = json<{ Name: string; Soft: number; Hard: number }[]>(
    query,
    "ulimits",
    [],
    "error reading ulimit settings",
  );
  const resources = resourcesOf(query);
  const shmSize = wholeNumber(query.string("shmsize") || "0");
  if (shmSize === undefined)
    throw invalid(`strconv.ParseInt: parsing ${JSON.stringify(query.string("shmsize"))}: invalid syntax`);
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
    buildArgs: withValues(
      json<Record<string, string | null>>(query, "buildargs", {}, "error reading build args"),
    ),
    labels: withValues(json<Record<string, string | null>>(query, "labels", {}, "error reading labels")),
    platforms: platform === "" ? [] : platform.split(",").map((one) => parsePlatform(one.trim())),
    extraHosts: query
      .all("extrahosts")
      .flatMap((one) => one.split(","))
      .filter(Boolean),
    network: networkOf(network),
    ulimits: ulimits.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
    ...(shmSize ? { shmSize } : {}),
    ...(text("cgroupparent") === "" ? {} : { cgroupParent: text("cgroupparent") }),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    cacheFrom: json<string[]>(query, "cachefrom", [], "error reading cache-from").map(
      (ref): CacheSpec => ({ type: "registry", attributes: { ref } }),
    ),
    outputs: outputsOf(
      json<{ Type: string; Attrs?: Record<string, string> }[]>(
        query,
        "outputs",
        [],
        "invalid outputs specified",
      ).map(({ Type, Attrs }): OutputSpec => ({ type: outputType(Type), attributes: Attrs ?? {} })),
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
  return `network:${text}`;
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

/** What Docker refuses on Linux, and versions of the builder that there are not. */
function refuseOthers(query: Query): void {
  if (query.has("securityopt")) throw invalid("security options are not supported on linux");
  const isolation = query.string("isolation");
  if (isolation !== "" && isolation.toLowerCase() !== "default")
    throw invalid(`unsupported isolation: ${JSON.stringify(isolation)}`);
  const version = query.string("version");
  if (!["", "1", "2"].includes(version)) throw invalid(`invalid version ${JSON.stringify(version)}`);
}

/** `problem` begins what is said of JSON that cannot be read, and of values of other kinds. */
function json<T>(query: Query, name: string, fallback: T, problem: string): T {
  const text = query.string(name);
  if (text === "") return fallback;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`${problem}: ${(error as Error).message}`, error);
  }
  if (value === null) return fallback;
  const wanted = Array.isArray(fallback) ? "a list" : "an object";
  if (typeof value !== "object" || Array.isArray(value) !== Array.isArray(fallback))
    throw invalid(`${problem}: ${wanted} is wanted`);
  const check = elements[name];
  if (check)
    for (const one of Object.values(value))
      if (!check(one)) throw invalid(`${problem}: ${JSON.stringify(one)} is of the wrong kind`);
  return value as T;
}

const isText = (value: unknown): boolean => typeof value === "string";
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the lists and objects are made of. */
const elements: Readonly<Record<string, (value: unknown) => boolean>> = {
  buildargs: (value) => value === null || isText(value),
  labels: (value) => value === null || isText(value),
  cachefrom: isText,
  ulimits: (value) =>
    isObject(value) &&
    isText(value["Name"]) &&
    Number.isInteger(value["Soft"]) &&
    Number.isInteger(value["Hard"]),
  outputs: (value) =>
    isObject(value) &&
    isText(value["Type"]) &&
    (value["Attrs"] === undefined ||
      value["Attrs"] === null ||
      (isObject(value["Attrs"]) && Object.values(value["Attrs"]).every(isText))),
};

const wholeNumber = (text: string): number | undefined =>
  /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined;

/** Docker takes what is no number for none. */
function resourcesOf(query: Query): NonNullable<BuildRequest["resources"]> {
  const number = (name: string) => wholeNumber(query.string(name));
  const numbers = {
    memory: number("memory"),
    memorySwap: number("memswap"),
    cpuShares: number("cpushares"),
    cpuPeriod: number("cpuperiod"),
    cpuQuota: number("cpuquota"),
  };
  const texts = { cpusetCpus: query.string("cpusetcpus"), cpusetMems: query.string("cpusetmems") };
  return Object.fromEntries(Object.entries({ ...numbers, ...texts }).filter(([, value]) => Boolean(value)));
}
