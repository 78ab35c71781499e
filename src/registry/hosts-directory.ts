/** containerd's `config_path`: folders by registry with a hosts.toml, or with Docker's certificate files. */
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { invalid, messageOf } from "../base/errors.ts";
import { readHostCertificates, readSystemRoots } from "./certificates.ts";
import { isLoopback } from "./hosts.ts";
import type { Host, TlsOptions } from "./types.ts";

type Table = Record<string, unknown>;
type Capability = "pull" | "resolve" | "push";

const capabilities: readonly Capability[] = ["pull", "resolve", "push"];
/** A hosts.toml is a page; nobody writes more than this. */
const sizeLimit = 1 << 20;

/**
 * The hosts of `registry` as the first of `roots` that has a folder for it says: `host_port_`, `host:port` or `_default`.
 * Undefined when none has. The file is read each time: it is meant to be changed without a restart.
 */
export async function hostsFromDirectory(
  roots: readonly string[],
  registry: string,
): Promise<Host[] | undefined> {
  if (!/^[\w.:[\]-]+$/.test(registry) || registry.startsWith(".")) return undefined;
  for (const root of roots)
    for (const name of folderNames(registry)) {
      const folder = join(root, name);
      const file = join(folder, "hosts.toml");
      if (existsSync(file)) return readHostsFile(file, folder, registry);
      if (!existsSync(folder)) continue;
      const own = await readHostCertificates(root, name);
      if (own) return [defaultHost(registry, await withSystemRoots(own))];
    }
  return undefined;
}

/** `registry:5000` is `registry_5000_` where a colon must not be in a name. */
function folderNames(registry: string): string[] {
  const colon = /^(.+):(\d+)$/.exec(registry);
  return [...(colon ? [`${colon[1]}_${colon[2]}_`] : []), registry, "_default"];
}

function defaultHost(registry: string, tls: TlsOptions): Host {
  const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
  const plain = isLoopback(host) && tls.ca === undefined && tls.cert === undefined && !tls.insecureSkipVerify;
  return plain ? { host, scheme: "http" } : { host, scheme: "https", tls };
}

async function readHostsFile(file: string, folder: string, registry: string): Promise<Host[]> {
  let document: Table;
  try {
    const text = readFileSync(file, "utf8");
    if (text.length > sizeLimit) throw new Error("it is larger than 1 MB");
    document = Bun.TOML.parse(text) as Table;
  } catch (error) {
    throw invalid(`cannot read ${file}: ${messageOf(error)}`, error);
  }
  try {
    const hosts: Host[] = [];
    const mirrors = document["host"] ?? {};
    if (typeof mirrors !== "object" || mirrors === null || Array.isArray(mirrors))
      throw invalid("host is not a table");
    for (const [address, value] of Object.entries(mirrors as Table)) {
      if (typeof value !== "object" || value === null) throw invalid(`host.${address} is not a table`);
      hosts.push(await hostOf(address, value as Table, folder));
    }
    const { server } = document;
    if (server !== undefined && typeof server !== "string") throw invalid("server is not a string");
    // Without a server the registry itself stands at the end, with what the top of the file says of it.
    const last = server || defaultHost(registry, {}).host;
    const own = await hostOf(last, document, folder);
    if (!server && isLoopback(own.host) && !own.tls?.ca && !own.tls?.insecureSkipVerify)
      hosts.push({ ...own, scheme: "http" });
    else hosts.push(own);
    return hosts;
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`, error);
  }
}

async function hostOf(address: string, settings: Table, folder: string): Promise<Host> {
  const text = address.includes("://") ? address : `${isLoopback(address) ? "http" : "https"}://${address}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw invalid(`${JSON.stringify(address)} is not an http or https URL`);
  const prefix = url.pathname.replace(/\/+$/, "");
  const path = settings["override_path"] === true || prefix.endsWith("/v2") ? prefix : `${prefix}/v2`;
  const allowed = capabilitiesOf(settings["capabilities"]);
  const headers = headersOf(settings["header"]);
  const host: Host = {
    host: url.host,
    scheme: url.protocol === "http:" ? "http" : "https",
    path,
    ...(allowed ? { capabilities: allowed } : {}),
    ...(headers ? { headers } : {}),
  };
  if (host.scheme === "http") return host;
  const tls: TlsOptions = {};
  if (settings["skip_verify"] === true) tls.insecureSkipVerify = true;
  const ca = words(settings["ca"], "ca");
  if (ca.length > 0) tls.ca = ca.map((name) => readIn(folder, name));
  const [certificate, key] = clientOf(settings["client"]);
  if (certificate !== undefined) {
    tls.cert = readIn(folder, certificate);
    // A file with both, or two files.
    tls.key = readIn(folder, key ?? certificate);
  }
  return { ...host, tls: await withSystemRoots(tls) };
}

async function withSystemRoots(tls: TlsOptions): Promise<TlsOptions> {
  if (tls.ca === undefined) return tls;
  const system = await readSystemRoots();
  return { ...tls, ca: [...(system ? [system] : []), ...[tls.ca].flat()] };
}

function capabilitiesOf(value: unknown): Capability[] | undefined {
  if (value === undefined) return undefined;
  return words(value, "capabilities").map((word) => {
    if (!capabilities.includes(word as Capability))
      throw invalid(`unknown capability ${JSON.stringify(word)}`);
    return word as Capability;
  });
}

/** `client`: one file, a list of files, or pairs of certificate and key; the first is shown. */
function clientOf(value: unknown): [certificate?: string | undefined, key?: string] {
  if (value === undefined) return [];
  if (typeof value === "string") return [value];
  const first = Array.isArray(value) ? (value as unknown[])[0] : undefined;
  if (typeof first === "string") return [first];
  if (Array.isArray(first) && first.length <= 2 && first.every((word) => typeof word === "string"))
    return first[1] ? [first[0], first[1]] : [first[0]];
  if (Array.isArray(value) && value.length === 0) return [];
  throw invalid("client is neither a file nor a list of files or pairs of them");
}

function headersOf(value: unknown): Record<string, string> | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid("header is not a table");
  const headers: Record<string, string> = {};
  for (const [name, content] of Object.entries(value))
    headers[name.toLowerCase()] = words(content, "header").join(", ");
  return headers;
}

function words(value: unknown, what: string): string[] {
  if (value === undefined) return [];
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value as string[];
  throw invalid(`${what} is neither a string nor a list of strings`);
}

const readIn = (folder: string, name: string): string =>
  readFileSync(isAbsolute(name) ? name : join(folder, name), "utf8");
