/** `config.json` of the docker command line: defaults, credentials, proxies. */
import { CortenError, messageOf } from "../../base/errors.ts";
import { fs, os } from "../../base/lazy.ts";

export interface StoredAuth {
  auth?: string;
  username?: string;
  password?: string;
  email?: string;
  identitytoken?: string;
  registrytoken?: string;
}

export interface ProxyConfig {
  httpProxy?: string;
  httpsProxy?: string;
  noProxy?: string;
  ftpProxy?: string;
  allProxy?: string;
}

export interface ConfigFile {
  auths?: Record<string, StoredAuth>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  currentContext?: string;
  HttpHeaders?: Record<string, string>;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  volumesFormat?: string;
  statsFormat?: string;
  detachKeys?: string;
  proxies?: Record<string, ProxyConfig>;
}

/** Where the file is: `--config`, else DOCKER_CONFIG, else `~/.docker`. */
export function configDirectory(given: string | undefined): string {
  return given || process.env["DOCKER_CONFIG"] || `${process.env["HOME"] || os().homedir()}/.docker`;
}

/** Reads it; a missing file is an empty one, a broken one an error that names it. */
export function readConfig(directory: string): ConfigFile {
  const path = `${directory}/config.json`;
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new CortenError("unknown", `WARNING: Error loading config file: ${path}: ${messageOf(error)}`);
  }
  try {
    return (JSON.parse(text) ?? {}) as ConfigFile;
  } catch (error) {
    throw new CortenError(
      "invalid_argument",
      `WARNING: Error loading config file: ${path}: ${messageOf(error)}`,
    );
  }
}

/** By a mapping, which needs nothing loaded; what cannot be mapped (an empty file, a pipe) is read. */
function readText(path: string): string {
  try {
    return new TextDecoder().decode(Bun.mmap(path, { shared: false }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw error;
    return fs().readFileSync(path, "utf8");
  }
}

/** Replaces the file whole, keeping what this program does not know of. */
export function changeConfig(directory: string, change: (config: ConfigFile) => void): void {
  const config = readConfig(directory);
  change(config);
  const { mkdirSync, renameSync, writeFileSync } = fs();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = `${directory}/config.json`;
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(config, null, "\t"), { mode: 0o600 });
  renameSync(temporary, path);
}
