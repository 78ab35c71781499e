/** From a registry's name in a reference to the places its content is asked for. */
import { isIPv4, isIPv6 } from "node:net";
import { invalid } from "../base/errors.ts";
import { readHostCertificates, readSystemRoots } from "./certificates.ts";
import type { Host, ResolverOptions, TlsOptions } from "./types.ts";

const defaultCertsDir = "/etc/docker/certs.d";

/** The hosts to try for `registry`, in order. Mirrors stand before the registry itself. */
export async function hostsOf(registry: string, options: ResolverOptions): Promise<Host[]> {
  const given = await options.hosts?.(registry);
  if (given) return given;
  const hosts: Host[] = [];
  if (registry === "docker.io")
    for (const mirror of options.mirrors ?? []) hosts.push(await mirrorHost(mirror, options));
  const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
  if (options.plainHttp) {
    hosts.push({ host, scheme: "http" });
    return hosts;
  }
  const tls = await tlsFor(host, options);
  hosts.push({ host, scheme: "https", tls });
  // Docker also tries plain HTTP where it does not verify; an authority set up for the host says TLS is meant.
  if (tls.insecureSkipVerify) hosts.push({ host, scheme: "http" });
  return hosts;
}

async function mirrorHost(mirror: string, options: ResolverOptions): Promise<Host> {
  const url = URL.canParse(mirror) ? new URL(mirror) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username)
    throw invalid(
      `invalid mirror: ${JSON.stringify(url ? url.origin : mirror)} must be an http or https URL`,
    );
  const scheme = url.protocol === "http:" ? "http" : "https";
  const prefix = url.pathname.replace(/\/+$/, "");
  return {
    host: url.host,
    scheme,
    path: `${prefix}/v2`,
    capabilities: ["pull", "resolve"],
    ...(scheme === "https" && { tls: await tlsFor(url.host, options) }),
  };
}

/** TLS settings for a host: the system's and the host's own authorities, its client certificate. */
export async function tlsFor(host: string, options: ResolverOptions): Promise<TlsOptions> {
  const own = await readHostCertificates(options.certsDir ?? defaultCertsDir, host);
  const tls: TlsOptions = { ...own, ...options.tls };
  const ca = [own?.ca ?? [], options.tls?.ca ?? []].flat();
  if (ca.length === 0 && isInsecure(host, options.insecureRegistries ?? [])) tls.insecureSkipVerify = true;
  if (isListed(host, options.insecureRegistries ?? [])) tls.insecureSkipVerify = true;
  const system = await readSystemRoots();
  if (ca.length > 0 || system) tls.ca = [...(system ? [system] : []), ...ca];
  return tls;
}

/** True for hosts that Docker talks to without verified TLS: those listed, and loopback. */
export function isInsecure(host: string, listed: readonly string[]): boolean {
  return isListed(host, listed) || isLoopback(host);
}

function isListed(host: string, listed: readonly string[]): boolean {
  const name = nameOf(host);
  return listed.some((entry) => entry === host || entry === name || inRange(name, entry));
}

/** localhost, 127.0.0.0/8 and ::1, by name: nothing is looked up. */
export function isLoopback(host: string): boolean {
  const name = nameOf(host);
  return name === "localhost" || name === "::1" || inRange(name, "127.0.0.0/8");
}

/** The name or address of `host[:port]`, without brackets. */
function nameOf(host: string): string {
  const bracketed = /^\[([^\]]+)\]/.exec(host);
  return bracketed ? bracketed[1]! : host.split(":", 1)[0]!;
}

function inRange(address: string, range: string): boolean {
  const [network = "", bits = ""] = range.split("/");
  if (!/^\d{1,3}$/.test(bits)) return false;
  const [a, b] = [addressBits(address), addressBits(network)];
  if (!a || !b || a.length !== b.length) return false;
  return a.slice(0, Number(bits)) === b.slice(0, Number(bits));
}

function addressBits(address: string): string | undefined {
  if (isIPv4(address))
    return address
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  if (!isIPv6(address) || address.includes(".") || address.includes("%")) return undefined;
  const [head = "", tail] = address.split("::") as [string, string?];
  const left = head === "" ? [] : head.split(":");
  const right = !tail ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill("0");
  return [...left, ...zeros, ...right]
    .map((part) => Number.parseInt(part, 16).toString(2).padStart(16, "0"))
    .join("");
}
