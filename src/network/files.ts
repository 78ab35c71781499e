/** Contents of the three files the engine mounts into a container, in Docker's formats. Pure but for `readHostResolvConf`. */
import { readFileSync } from "node:fs";
import { invalid } from "../base/errors.ts";
import { addressBytes } from "../sys/netlink/address.ts";

export interface HostsFile {
  hostname: string;
  domainname?: string;
  /** The container's own, one per network; none without a network. */
  addresses: readonly string[];
  /** `--add-host`: NAME:ADDRESS or NAME=ADDRESS, where the address may be `host-gateway`. */
  extraHosts?: readonly string[];
  /** What `host-gateway` stands for: the gateway of the default bridge. */
  hostGateway?: string;
  /** The host's own file, which containers of the host network start from. */
  base?: string;
}

const DEFAULT_HOSTS = [
  ["127.0.0.1", "localhost"],
  ["::1", "localhost ip6-localhost ip6-loopback"],
  ["fe00::", "ip6-localnet"],
  ["ff00::", "ip6-mcastprefix"],
  ["ff02::1", "ip6-allnodes"],
  ["ff02::2", "ip6-allrouters"],
] as const;

/** hosts(5). The container's own lines come last. */
export function hostsFile(file: HostsFile): string {
  const line = (address: string, names: string) => `${address}\t${names}\n`;
  let text = file.base ?? DEFAULT_HOSTS.map(([address, names]) => line(address, names)).join("");
  if (text && !text.endsWith("\n")) text += "\n";
  for (const extra of file.extraHosts ?? []) {
    const { name, address } = parseExtraHost(extra, file.hostGateway);
    text += line(address, name);
  }
  const { hostname, domainname } = file;
  const names = domainname ? `${hostname}.${domainname} ${hostname}` : hostname;
  for (const address of file.addresses) text += line(address, names);
  return text;
}

/** Checks one `--add-host` value; Docker's error texts. */
export function parseExtraHost(extra: string, hostGateway = ""): { name: string; address: string } {
  const match = /^([^:=]+)[:=](.+)$/.exec(extra);
  if (!match) throw invalid(`bad format for add-host: "${extra}"`);
  const name = match[1]!;
  let address = match[2]!.replace(/^\[(.*)\]$/, "$1");
  if (address === "host-gateway") {
    if (!hostGateway) throw invalid("unable to derive the IP value for host-gateway");
    address = hostGateway;
  }
  try {
    addressBytes(address);
  } catch (cause) {
    throw invalid(`invalid IP address in add-host: "${address}"`, cause);
  }
  return { name, address };
}

export interface ResolvConf {
  /** The host's file, see `readHostResolvConf`. */
  base: string;
  nameservers?: readonly string[];
  /** A single "." means none. */
  search?: readonly string[];
  options?: readonly string[];
  /** The container shares the host's network: its nameservers on localhost work there. */
  hostNetwork?: boolean;
}

const FALLBACK_NAMESERVERS = ["8.8.8.8", "8.8.4.4"];
const isLoopback = (address: string) => /^127\./.test(address) || /^::1(%|$)/.test(address);

/**
 * resolv.conf(5). What the user gave replaces the host's lines of that kind. From the host's nameservers
 * those a container cannot reach are left out: on the host's loopback, and IPv6 ones, as our networks have IPv4 only.
 */
export function resolvConf(file: ResolvConf): string {
  const given = (list: readonly string[] | undefined) => (list && list.length > 0 ? list : undefined);
  const overridden = given(file.nameservers) ?? given(file.search) ?? given(file.options);
  if (file.hostNetwork && !overridden) return file.base;
  const host = parseResolvConf(file.base);
  let nameservers = given(file.nameservers);
  if (!nameservers) {
    nameservers = file.hostNetwork
      ? host.nameservers
      : host.nameservers.filter((address) => !isLoopback(address) && !address.includes(":"));
    if (nameservers.length === 0) nameservers = FALLBACK_NAMESERVERS;
  }
  const search = given(file.search) ?? host.search;
  const options = given(file.options) ?? host.options;
  let text = "";
  if (search.length > 0 && search.join(" ").trim() !== ".") text += `search ${search.join(" ")}\n`;
  for (const nameserver of nameservers) text += `nameserver ${nameserver}\n`;
  if (options.length > 0) text += `options ${options.join(" ")}\n`;
  return text;
}

export interface ParsedResolvConf {
  nameservers: string[];
  search: string[];
  options: string[];
}

/** The keywords we carry over; `domain` is a search list of one, and of several search lines the last counts. */
export function parseResolvConf(text: string): ParsedResolvConf {
  const parsed: ParsedResolvConf = { nameservers: [], search: [], options: [] };
  for (const raw of text.split("\n")) {
    const [keyword, ...values] = raw
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (values.length === 0) continue;
    if (keyword === "nameserver") parsed.nameservers.push(values[0]!);
    else if (keyword === "search" || keyword === "domain") parsed.search = values;
    else if (keyword === "options") parsed.options.push(...values);
  }
  return parsed;
}

/**
 * The host's nameservers as a container can use them: where the host asks systemd-resolved on 127.0.0.53, the
 * file with the servers that one asks.
 */
export function readHostResolvConf(
  path = "/etc/resolv.conf",
  resolvedPath = "/run/systemd/resolve/resolv.conf",
): string {
  const text = readOrEmpty(path);
  const { nameservers } = parseResolvConf(text);
  if (nameservers.length === 1 && nameservers[0] === "127.0.0.53") return readOrEmpty(resolvedPath) || text;
  return text;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

export const hostnameFile = (hostname: string) => `${hostname}\n`;
