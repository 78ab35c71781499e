/** The frontend's attributes as BuildKit's clients write them (frontend/dockerui), as a build request's fields. */
import { invalid, unimplemented } from "../../../base/errors.ts";
import type { BuildRequest, CacheSpec } from "../../../build/types.ts";
import { parsePlatform } from "../../../oci/platform.ts";
import { networkOf } from "../../build/options.ts";

export type Attributes = Readonly<Record<string, string>>;

/** What comes from the attributes alone. */
export type AttributeFields = Pick<
  BuildRequest,
  | "buildArgs"
  | "labels"
  | "platforms"
  | "noCache"
  | "noCacheFilter"
  | "pull"
  | "namedContexts"
  | "extraHosts"
  | "network"
  | "ulimits"
  | "attestations"
> &
  Partial<
    Pick<
      BuildRequest,
      "filename" | "target" | "shmSize" | "cgroupParent" | "hostname" | "sourceDateEpoch" | "call"
    >
  >;

/** Those of `prefix:name`. */
const prefixed = (attributes: Attributes, prefix: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]) =>
      key.startsWith(prefix) && key.length > prefix.length ? [[key.slice(prefix.length), value]] : [],
    ),
  );

const list = (text: string | undefined): string[] =>
  (text ?? "")
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);

export function attributeFields(attributes: Attributes): AttributeFields {
  const noCache = attributes["no-cache"];
  const multi = attributes["multi-platform"];
  const shmSize = number(attributes, "shm-size");
  const epoch = number(attributes, "source-date-epoch");
  if (attributes["contextsubdir"]) throw unimplemented("contextsubdir is not supported");
  const text = (name: string, field: keyof AttributeFields) =>
    attributes[name] ? { [field]: attributes[name] } : {};
  return {
    ...text("filename", "filename"),
    ...text("target", "target"),
    ...text("cgroup-parent", "cgroupParent"),
    ...text("hostname", "hostname"),
    ...text("requestid", "call"),
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }),
    buildArgs: {
      ...(multi === undefined ? {} : { BUILDKIT_MULTI_PLATFORM: multi }),
      ...prefixed(attributes, "build-arg:"),
    },
    labels: prefixed(attributes, "label:"),
    platforms: list(attributes["platform"]).map((one) => parsePlatform(one)),
    // Without names it is for every stage.
    noCache: noCache === "",
    noCacheFilter: list(noCache),
    pull: attributes["image-resolve-mode"] === "pull",
    namedContexts: prefixed(attributes, "context:"),
    extraHosts: list(attributes["add-hosts"]).map(hostOf),
    network: networkModeOf(attributes["force-network-mode"] ?? ""),
    ulimits: list(attributes["ulimit"]).map(ulimitOf),
    attestations: attestationsOf(attributes),
  };
}

function number(attributes: Attributes, name: string): number | undefined {
  const text = attributes[name];
  if (!text) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw invalid(`${name}: ${JSON.stringify(text)} is no number`);
  return value;
}

/** `name=address`, an IPv6 one with or without brackets. */
function hostOf(text: string): string {
  const mark = text.indexOf("=");
  if (mark <= 0) throw invalid(`invalid host: ${text}`);
  return `${text.slice(0, mark)}:${text.slice(mark + 1).replace(/^\[(.*)\]$/, "$1")}`;
}

const networkModeOf = (text: string): BuildRequest["network"] =>
  text === "sandbox" || text === "unset" ? "default" : networkOf(text);

function ulimitOf(text: string): { name: string; soft: number; hard: number } {
  const match = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match) throw invalid(`invalid ulimit: ${text}`);
  const soft = Number(match[2]);
  return { name: match[1]!, soft, hard: match[3] === undefined ? soft : Number(match[3]) };
}

function attestationsOf(attributes: Attributes): BuildRequest["attestations"] {
  const all: Record<string, Record<string, string>> = {};
  for (const [name, text] of Object.entries(prefixed(attributes, "attest:"))) {
    const values: Record<string, string> = {};
    for (const one of list(text)) {
      const mark = one.indexOf("=");
      values[mark < 0 ? one : one.slice(0, mark)] = mark < 0 ? "" : one.slice(mark + 1);
    }
    if (values["disabled"] === "true") continue;
    delete values["disabled"];
    all[name] = values;
  }
  return all;
}

/** `cache-imports` is JSON of the control API's entries, `cache-from` the older list of images. */
export function cacheImportsOf(
  attributes: Attributes,
  entries: readonly { Type: string; Attrs: Attributes }[],
): CacheSpec[] {
  const text = attributes["cache-imports"];
  let all = entries;
  if (text) {
    const parsed: unknown = JSON.parse(text);
    if (!Array.isArray(parsed)) throw invalid("cache-imports is no list");
    all = parsed.map((one: { Type?: unknown; Attrs?: unknown }) => {
      if (typeof one?.Type !== "string") throw invalid("cache-imports has an entry without a type");
      return { Type: one.Type, Attrs: (one.Attrs ?? {}) as Attributes };
    });
  } else if (entries.length === 0)
    all = list(attributes["cache-from"]).map((ref) => ({ Type: "registry", Attrs: { ref } }));
  return all.map(cacheOf);
}

export function cacheOf({ Type, Attrs }: { Type: string; Attrs: Attributes }): CacheSpec {
  if (Type !== "inline" && Type !== "registry")
    throw unimplemented(
      `cache type ${JSON.stringify(Type)} is not supported here: inline and registry are (corten build has local)`,
    );
  return { type: Type, attributes: Attrs };
}
