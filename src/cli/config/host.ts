/** Which daemon to talk to: `-H`, `--context`, DOCKER_HOST, DOCKER_CONTEXT, the current context, or our own. */
import { CortenError } from "../../base/errors.ts";
import { fs } from "../../base/lazy.ts";
import type { Endpoint, TlsOptions } from "../../engine/client.ts";
import type { ConfigFile } from "./file.ts";
import { defaultRoots } from "./roots.ts";

export interface HostChoice {
  host: string[];
  context: string;
  tls: boolean;
  tlsverify: boolean;
  tlscacert: string;
  tlscert: string;
  tlskey: string;
}

export interface Daemon {
  endpoint: Endpoint;
  /** As messages name it. */
  name: string;
  context: string;
  /** Nobody chose: it is Corten's own socket, and a daemon may be started on it. */
  ours: boolean;
}

/** The name of the context in use, as `version` shows it. */
export function contextName(choice: HostChoice, config: ConfigFile): string {
  if (choice.context !== "") return choice.context;
  if (choice.host.length > 0 || process.env["DOCKER_HOST"]) return "default";
  return process.env["DOCKER_CONTEXT"] || config.currentContext || "default";
}

export function chooseDaemon(choice: HostChoice, config: ConfigFile, configDirectory: string): Daemon {
  if (choice.host.length > 0 && choice.context !== "")
    throw new CortenError(
      "invalid_argument",
      "conflicting options: cannot specify both --host and --context",
    );
  if (choice.host.length > 1) throw new CortenError("invalid_argument", "Specify only one -H");
  const context = contextName(choice, config);
  if (context !== "default") {
    const { readContext } = require("./context.ts") as typeof import("./context.ts");
    const found = readContext(configDirectory, context);
    return { ...parseHost(found.host, found.tls), context, ours: false };
  }
  const given = choice.host[0] || process.env["DOCKER_HOST"];
  const tls = tlsOptions(choice, configDirectory);
  if (given) return { ...parseHost(given, tls), context, ours: false };
  return { ...parseHost(`unix://${defaultRoots().socket}`), context, ours: true };
}

function tlsOptions(choice: HostChoice, configDirectory: string): TlsOptions | undefined {
  const verify = choice.tlsverify || (process.env["DOCKER_TLS_VERIFY"] ?? "") !== "";
  if (!verify && !choice.tls && (process.env["DOCKER_TLS"] ?? "") === "") return undefined;
  const directory = process.env["DOCKER_CERT_PATH"] || configDirectory;
  const read = (given: string, leaf: string) => {
    const path = given || `${directory}/${leaf}`;
    try {
      return fs().readFileSync(path, "utf8");
    } catch (error) {
      if (given === "" && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new CortenError(
        "invalid_argument",
        `could not read TLS file ${path}: ${(error as Error).message}`,
      );
    }
  };
  const ca = read(choice.tlscacert, "ca.pem");
  const cert = read(choice.tlscert, "cert.pem");
  const key = read(choice.tlskey, "key.pem");
  return {
    verify,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** `unix:///path`, `tcp://host:port`, `http://…`, or a bare `host:port`. */
export function parseHost(host: string, tls?: TlsOptions): { endpoint: Endpoint; name: string } {
  const text = host.trim();
  const at = text.indexOf("://");
  const scheme = at < 0 ? "tcp" : text.slice(0, at);
  const rest = at < 0 ? text : text.slice(at + 3);
  if (scheme === "unix")
    return { endpoint: { kind: "unix", path: rest || "/var/run/docker.sock" }, name: `unix://${rest}` };
  if (scheme === "tcp" || scheme === "http" || scheme === "https") {
    const secure = tls ?? (scheme === "https" ? { verify: true } : undefined);
    const match = /^(\[[0-9a-fA-F:.]+\]|[^:/]*)(?::(\d+))?\/?$/.exec(rest);
    if (!match) throw new CortenError("invalid_argument", `invalid bind address (${text}): not host:port`);
    const port = match[2] === undefined ? (secure ? 2376 : 2375) : Number(match[2]);
    const name = match[1] || "localhost";
    return {
      endpoint: {
        kind: "tcp",
        host: name.replace(/^\[|\]$/g, ""),
        port,
        ...(secure ? { tls: secure } : {}),
      },
      name: `tcp://${name}:${port}`,
    };
  }
  if (scheme === "ssh")
    throw new CortenError(
      "unimplemented",
      `${text}: daemons over ssh are not supported; forward the socket with ssh -L`,
    );
  throw new CortenError("invalid_argument", `unsupported protocol scheme "${scheme}" in host ${text}`);
}
