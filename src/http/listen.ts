import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname } from "node:path";
import { CortenError } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { answers, forRootsGroup } from "../base/socket-file.ts";
import type { Connection } from "./connection.ts";
import { listenOnUnix } from "./unix.ts";

/** What a daemon on TCP shows of itself, and whom it lets in. */
export interface ServerTls {
  key: string;
  cert: string;
  /** Authorities of clients' certificates; absent for those the system trusts. */
  ca?: string;
  /** Clients without a certificate by such an authority are refused. */
  verify: boolean;
}

export interface Listener {
  /** No more connections are taken; those there are go on. */
  close(): void;
  /** The address bound. */
  address: string;
  /** The socket file to remove at the end. */
  path?: string;
}

export interface ListenOptions {
  tls?: ServerTls | undefined;
  /** Group of a socket file, if the host has it. */
  group?: string | undefined;
}

/** Opens `unix:///path` or `tcp://host:port`. TLS is for TCP only: a socket file has its mode. */
export async function listen(
  host: string,
  { tls, group }: ListenOptions,
  serve: (connection: Connection) => void,
): Promise<Listener> {
  if (host.startsWith("unix://")) return listenUnix(host, group, serve);
  const tcp = /^tcp:\/\/(\[[0-9a-fA-F:]+\]|[^:/]*)(?::(\d+))?$/.exec(host);
  if (!tcp)
    throw new CortenError(
      "invalid_argument",
      `invalid host ${JSON.stringify(host)}: use unix:///path or tcp://host:port`,
    );
  const name = tcp[1]!.replace(/^\[|\]$/g, "") || "127.0.0.1";
  const port = Number(tcp[2] ?? (tls ? 2376 : 2375));
  const server = tls
    ? await tlsServer(tls, serve)
    : createServer({ allowHalfOpen: true }, (socket) => serve(socket));
  await listening(server, (done) => server.listen(port, name, done));
  const bound = server.address();
  const address = typeof bound === "object" && bound ? `tcp://${tcp[1] || "127.0.0.1"}:${bound.port}` : host;
  return { close: () => server.close(), address };
}

async function tlsServer(tls: ServerTls, serve: (connection: Connection) => void): Promise<Server> {
  const { createServer: createTlsServer } = await import("node:tls");
  const options = {
    key: tls.key,
    cert: tls.cert,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    requestCert: tls.verify,
    rejectUnauthorized: tls.verify,
    minVersion: "TLSv1.2" as const,
    // The attach protocol ends one half of a connection at a time, also under TLS.
    allowHalfOpen: true,
    handshakeTimeout: 30_000,
  };
  const server = createTlsServer(options, (socket) => {
    if (tls.verify && !socket.authorized) socket.destroy();
    else serve(socket);
  });
  server.on("tlsClientError", (error, socket) => {
    log.debug("TLS handshake failed", { error: error.message });
    socket.destroy();
  });
  return server;
}

async function listenUnix(
  host: string,
  group: string | undefined,
  serve: (connection: Connection) => void,
): Promise<Listener> {
  const path = host.slice("unix://".length);
  await removeStaleSocket(path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  const listener = forRootsGroup(() => listenOnUnix(path, serve));
  chmodSync(path, 0o660);
  const owner = group === undefined ? undefined : groupId(group);
  if (owner !== undefined && process.getuid?.() === 0) chownSync(path, 0, owner);
  return { close: listener.close, address: host, path };
}

function listening(server: Server, listen: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    listen(() => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** A socket file nobody answers on is a dead daemon's; one that answers belongs to someone. */
async function removeStaleSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (await answers(path)) throw new CortenError("already_exists", `another daemon answers on ${path}`);
  unlinkSync(path);
}

function groupId(name: string): number | undefined {
  try {
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((entry) => entry.startsWith(`${name}:`));
    return line ? Number(line.split(":")[2]) : undefined;
  } catch {
    return undefined;
  }
}
