/** Proxy variables from `config.json` (`proxies`), for the daemon in use or by default. */
import type { ConfigFile, ProxyConfig } from "../config/file.ts";
import { cut } from "./environment.ts";

const variables: Array<[keyof ProxyConfig, string]> = [
  ["httpProxy", "HTTP_PROXY"],
  ["httpsProxy", "HTTPS_PROXY"],
  ["noProxy", "NO_PROXY"],
  ["ftpProxy", "FTP_PROXY"],
  ["allProxy", "ALL_PROXY"],
];

/** The variables to add, in both cases, except those the flags set themselves. */
export function proxyEnvironment(config: ConfigFile, daemonName: string, env: readonly string[]): string[] {
  const proxies = config.proxies?.[daemonName] ?? config.proxies?.["default"];
  if (!proxies) return [];
  const given = new Set(env.map((pair) => cut(pair, "=")[0]));
  return variables.flatMap(([key, name]) => {
    const value = proxies[key];
    if (!value) return [];
    return [name, name.toLowerCase()].filter((one) => !given.has(one)).map((one) => `${one}=${value}`);
  });
}
