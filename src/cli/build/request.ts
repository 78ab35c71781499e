/** The flags of a command line as the body of `POST /corten/build`. What is wrong with them is told in buildx' words. */
import { randomBytes } from "node:crypto";
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { BuildBody, BuildCacheOption } from "../../engine/types.ts";
import { formatLayoutReference, parseLayoutReference } from "../../oci/layout-reference.ts";
import { defaultPlatform, formatPlatform, parsePlatform } from "../../oci/platform.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import type { Cli } from "../cli.ts";
import { parseBool } from "../flags/flag.ts";
import { goQuote } from "../format/quote.ts";
import { parseBytes } from "../format/units.ts";
import { cut } from "../run/environment.ts";
import { isIP } from "../run/ip.ts";
import { proxyEnvironment } from "../run/proxy.ts";
import { callOf } from "./call.ts";
import { type BuildSource, describeDirectory, isRemote } from "./context.ts";
import { buildProblem, fieldsOrFail, flagProblem, pairsOf } from "./csv.ts";
import type { BuildValues } from "./flags.ts";
import { allowDelete, type Output } from "./outputs.ts";
import { secretsOf } from "./secrets.ts";

/** Reads secrets and looks at directories; `daemonName` chooses the proxies of the configuration file; `ssh` has the agents' sockets. */
export function bodyOf(
  cli: Cli,
  values: BuildValues,
  source: BuildSource,
  outputs: readonly Output[],
  daemonName: string,
  ssh: Readonly<Record<string, string>>,
): BuildBody {
  const { context } = source;
  if (values["no-cache"] && values["no-cache-filter"].length > 0)
    throw buildProblem("--no-cache and --no-cache-filter cannot currently be used together");
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  const call = callOf(values);
  const buildArgs = buildArguments(cli, values["build-arg"], daemonName);
  const named = namedContexts(values["build-context"]);
  const contexts = [...named.contexts];
  if (context.kind === "directory") contexts.unshift(describeDirectory("context", context.path));
  if (context.kind === "archive") contexts.unshift({ name: "context", path: "-", device: "", inode: "" });
  if (source.dockerfileDirectory) contexts.push(describeDirectory("dockerfile", source.dockerfileDirectory));
  const dockerfile = context.kind === "dockerfile" ? context.text : source.dockerfile;
  const { network } = values;
  const body: BuildBody = {
    id: randomBytes(12).toString("hex"),
    contexts,
    tags: values.tag.map(checkTag),
    buildArgs,
    labels: pairs(values.label),
    platforms: platformsOf(values.platform),
    noCache: values["no-cache"],
    noCacheFilter: values["no-cache-filter"].flatMap((one) => one.split(",")),
    pull: values.pull,
    namedContexts: named.sources,
    extraHosts: values["add-host"].flatMap(hostsOf),
    network,
    ulimits: Object.values(values.ulimit).map(({ Name, Soft, Hard }) => ({
      name: Name,
      soft: Soft,
      hard: Hard,
    })),
    entitlements: entitlementsOf(values.allow, network),
    secrets: Object.fromEntries(
      Object.entries(secretsOf(values.secret)).map(([id, bytes]) => [id, base64(bytes)]),
    ),
    ssh,
    outputs: outputs.map(({ type, attributes, place }) => ({
      type,
      attributes,
      stream: place !== undefined,
    })),
    cacheFrom: values["cache-from"].flatMap((one) => cacheOptions(one, "src")),
    cacheTo: values["cache-to"].flatMap((one) => cacheOptions(one, "dest")),
    attestations: attestationsOf(values),
  };
  if (dockerfile) body.dockerfile = base64(dockerfile);
  if (source.filename !== undefined) body.filename = source.filename;
  if (source.dockerfileDirectory) body.dockerfileContext = "dockerfile";
  if (context.kind === "archive") body.contextIsArchive = true;
  if (context.kind === "remote") body.remoteContext = context.url;
  if (values.target !== "") body.target = values.target;
  if (values["shm-size"] > 0) body.shmSize = values["shm-size"];
  if (values["cgroup-parent"] !== "") body.cgroupParent = values["cgroup-parent"];
  if (call?.name === "lint") body.check = true;
  else if (call) body.call = call.name;
  const resources = resourcesOf(values);
  if (Object.keys(resources).length > 0) body.resources = resources;
  const epoch = buildArgs["SOURCE_DATE_EPOCH"] ?? process.env["SOURCE_DATE_EPOCH"];
  if (epoch !== undefined && /^\d+$/.test(epoch)) body.sourceDateEpoch = Number(epoch);
  return body;
}

function split(list: readonly string[]): Array<[key: string, value: string | undefined]> {
  return list.map((text) => {
    const [key, value] = cut(text, "=");
    if (key === "") throw flagProblem(`invalid key-value pair ${goQuote(text)}: empty key`);
    return [key, value];
  });
}

const pairs = (list: readonly string[]): Record<string, string> =>
  Object.fromEntries(split(list).map(([key, value]) => [key, value ?? ""]));

/** `--build-arg NAME` takes the value of our environment, and is left out when there is none. */
export function buildArguments(
  cli: Pick<Cli, "config">,
  list: readonly string[],
  daemonName: string,
): Record<string, string> {
  const given = split(list);
  const names = new Set(given.map(([name]) => name.toLowerCase()));
  const out: Record<string, string> = {};
  for (const [name, value] of split(proxyEnvironment(cli.config, daemonName, list)))
    if (!names.has(name.toLowerCase())) out[name] = value ?? "";
  for (const [name, value = process.env[name]] of given) if (value !== undefined) out[name] = value;
  return out;
}

function namedContexts(
  list: readonly string[],
): Pick<BuildBody, "contexts"> & { sources: Record<string, string> } {
  const contexts: BuildBody["contexts"] = [];
  const sources: Record<string, string> = {};
  for (const one of list.filter((text) => text !== "")) {
    const [written, value] = cut(one, "=");
    if (value === undefined) throw flagProblem(`invalid context value: ${one}, expected key=value`);
    const name = contextName(written);
    if (/^(docker-image:\/\/|target:)/.test(value) || isRemote(value)) {
      sources[name] = value;
      continue;
    }
    const layout = parseLayoutReference(value);
    const path = directoryOf(name, value, layout?.place ?? value);
    // The names of ours are not to be had.
    const sent = name === "context" || name === "dockerfile" ? `_${name}` : name;
    contexts.push(describeDirectory(sent, path));
    sources[name] = layout ? formatLayoutReference({ ...layout, place: sent }) : `local:${sent}`;
  }
  return { contexts, sources };
}

function directoryOf(name: string, value: string, path: string): string {
  try {
    const real = realpathSync(path);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw buildProblem(
      path === value
        ? `failed to get build context ${name}: stat ${value}: no such file or directory`
        : `oci-layout reference ${goQuote(value)} could not be resolved: stat ${path}: no such file or directory`,
    );
  }
  throw buildProblem(`failed to get build context path {${value} <nil>}: not a directory`);
}

/** Contexts have images' names, for they stand for images; without `:latest`. */
function contextName(text: string): string {
  try {
    return familiarReference(parseReference(text)).replace(/:latest$/, "");
  } catch (error) {
    throw flagProblem(`invalid context name ${text}: ${(error as Error).message}`);
  }
}

function checkTag(tag: string): string {
  try {
    parseReference(tag);
  } catch (error) {
    throw buildProblem(`invalid tag ${goQuote(tag)}: ${(error as Error).message}`);
  }
  return tag;
}

function platformsOf(list: readonly string[]): string[] {
  const fallback = process.env["DOCKER_DEFAULT_PLATFORM"];
  const all = list.length === 0 && fallback ? [fallback] : list;
  return all
    .flatMap((one) => one.split(","))
    .map((one) => {
      if (one.toLowerCase() === "local") return formatPlatform(defaultPlatform());
      try {
        parsePlatform(one);
      } catch (error) {
        throw buildProblem((error as Error).message);
      }
      return one;
    });
}

/** `host=address[,address…]` or `host:address`, as /etc/hosts of the steps gets them. */
function hostsOf(text: string): string[] {
  let [host, addresses] = cut(text, "=");
  if (addresses === undefined) [host, addresses] = cut(text, ":");
  if (host === "" || !addresses) throw buildProblem(`invalid host ${text}`);
  if (addresses === "host-gateway") return [`${host}:${addresses}`];
  return addresses.split(",").map((one) => {
    const address = /^\[.+\]$/.test(one) ? one.slice(1, -1) : one;
    if (isIP(address) === 0) throw buildProblem(`invalid host ${text}`);
    return `${host}:${address}`;
  });
}

const entitlements = ["network.host", "security.insecure", "device"];

/** `--network host` says that it is allowed. */
function entitlementsOf(list: readonly string[], network: string): string[] {
  const given = list.filter((one) => one !== "" && one !== allowDelete);
  for (const one of given)
    if (!entitlements.includes(one.startsWith("device=") ? "device" : one))
      throw buildProblem(`unknown entitlement ${one}`);
  return network === "host" ? [...given, "network.host"] : given;
}

/** `type=…,…`, or the name of an image (which may be several, apart by commas). */
function cacheOptions(text: string, place: "src" | "dest"): BuildCacheOption[] {
  if (text === "") return [];
  if (!text.includes("="))
    return fieldsOrFail(text).map((ref) => ({ type: "registry", attributes: { ref } }));
  let type = "";
  const attributes: Record<string, string> = {};
  for (const [key, value] of pairsOf(text)) {
    if (key === "type") type = value;
    else attributes[key] = value;
  }
  if (type === "") throw flagProblem(`type required for ${goQuote(text)}`);
  if (attributes[place] !== undefined) attributes[place] = resolve(attributes[place]);
  return [{ type, attributes }];
}

/** The first of a kind counts. */
function attestationsOf(values: BuildValues): Record<string, Record<string, string>> {
  const texts = [...values.attest];
  for (const type of ["provenance", "sbom"] as const)
    if (values[type] !== "") texts.push(`type=${type},${shorthand(values[type])}`);
  const seen = new Set<string>();
  const out: Record<string, Record<string, string>> = {};
  for (const text of texts) {
    const { type, disabled, attributes } = attestation(text);
    if (!seen.has(type) && !disabled) out[type] = attributes;
    seen.add(type);
  }
  return out;
}

/** `--sbom=true` and `--sbom=false`; anything else are attributes. */
function shorthand(value: string): string {
  try {
    return `disabled=${!parseBool(value)}`;
  } catch {
    return value;
  }
}

function attestation(text: string) {
  let type = "";
  let disabled = false;
  const attributes: Record<string, string> = {};
  for (const field of fieldsOrFail(text)) {
    const [key, value] = cut(field, "=");
    if (value === undefined) throw flagProblem(`invalid value ${field}`);
    const name = key.toLowerCase().trim();
    if (name === "type") type = value;
    else if (name === "disabled") {
      try {
        disabled = parseBool(value);
      } catch (error) {
        throw flagProblem(`invalid value ${field}: ${(error as Error).message}`);
      }
    } else attributes[key] = value;
  }
  if (type === "") throw flagProblem("attestation type not specified");
  return { type, disabled, attributes };
}

const numbers = {
  "cpu-shares": "cpuShares",
  "cpu-period": "cpuPeriod",
  "cpu-quota": "cpuQuota",
} as const;
const sizes = { memory: "memory", "memory-swap": "memorySwap" } as const;
const sets = { "cpuset-cpus": "cpusetCpus", "cpuset-mems": "cpusetMems" } as const;

/** `--resource key=value`, over the older flags of one resource each. */
export function resourcesOf(values: BuildValues): NonNullable<BuildBody["resources"]> {
  const out: NonNullable<BuildBody["resources"]> = {};
  const older = [...Object.keys(sizes), ...Object.keys(numbers), ...Object.keys(sets)] as Array<
    keyof typeof sizes | keyof typeof numbers | keyof typeof sets
  >;
  const entries = older.flatMap((key) => (values[key] === "" ? [] : [`${key}=${values[key]}`]));
  for (const entry of [...entries, ...values.resource]) {
    const [name, text] = cut(entry, "=");
    if (text === undefined) throw buildProblem(`invalid resource ${goQuote(entry)}, expected key=value`);
    const key = name.trim();
    const value = text.trim();
    const bad = (why: string) => buildProblem(`invalid value ${goQuote(value)} for resource ${key}: ${why}`);
    if (Object.hasOwn(sizes, key)) {
      const field = sizes[key as keyof typeof sizes];
      try {
        out[field] = field === "memorySwap" && value === "-1" ? -1 : parseBytes(value);
      } catch (error) {
        throw bad((error as Error).message);
      }
    } else if (Object.hasOwn(numbers, key)) {
      if (!/^[+-]?\d+$/.test(value)) throw bad(`strconv.ParseInt: parsing ${goQuote(value)}: invalid syntax`);
      out[numbers[key as keyof typeof numbers]] = Number(value);
    } else if (Object.hasOwn(sets, key)) out[sets[key as keyof typeof sets]] = value;
    else throw buildProblem(`unknown resource ${goQuote(key)}`);
  }
  return out;
}
