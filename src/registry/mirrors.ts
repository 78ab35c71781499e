/** Mirrors and TLS settings by registry, as containerd's CRI plugin has them inside of config.toml. */
import { readFileSync } from "node:fs";
import { invalid } from "../base/errors.ts";
import { isLoopback, tlsFor } from "./hosts.ts";
import type { Host, ResolverOptions, TlsOptions } from "./types.ts";

export interface RegistrySettings {
  /** URLs to ask before the registry itself; `*` stands for all registries without an entry. */
  mirrors: Record<string, string[]>;
  /** Files, by `host[:port]`. */
  tls: Record<string, { insecureSkipVerify?: boolean; ca?: string; cert?: string; key?: string }>;
}

/** Undefined when nothing is set for `registry`: the resolver's own choice holds. */
export async function hostsFromMirrors(
  settings: RegistrySettings,
  registry: string,
  options: ResolverOptions,
): Promise<Host[] | undefined> {
  const endpoints = settings.mirrors[registry] ?? settings.mirrors["*"] ?? [];
  const own = registry === "docker.io" ? "registry-1.docker.io" : registry;
  if (endpoints.length === 0 && !settings.tls[own]) return undefined;
  const hosts: Host[] = [];
  for (const endpoint of endpoints) hosts.push(await hostOf(endpoint, settings, options));
  if (!hosts.some(({ host }) => host === own)) hosts.push(await hostOf(own, settings, options));
  return hosts;
}

async function hostOf(endpoint: string, settings: RegistrySettings, options: ResolverOptions): Promise<Host> {
  const bare = !endpoint.includes("://");
  const url = URL.canParse(bare ? `https://${endpoint}` : endpoint)
    ? new URL(bare ? `https://${endpoint}` : endpoint)
    : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw invalid(`registry endpoint ${JSON.stringify(endpoint)} is not an http or https URL`);
  const set = settings.tls[url.host];
  const plain = bare ? isLoopback(url.host) && !set : url.protocol === "http:";
  const prefix = url.pathname.replace(/\/+$/, "");
  const host = { host: url.host, path: prefix === "" ? "/v2" : prefix };
  if (plain) return { ...host, scheme: "http" };
  const tls: TlsOptions = await tlsFor(url.host, options);
  if (set?.insecureSkipVerify) tls.insecureSkipVerify = true;
  if (set?.ca) tls.ca = [...[tls.ca ?? []].flat(), readFileSync(set.ca, "utf8")];
  if (set?.cert && set.key) {
    tls.cert = readFileSync(set.cert, "utf8");
    tls.key = readFileSync(set.key, "utf8");
  }
  return { ...host, scheme: "https", tls };
}
