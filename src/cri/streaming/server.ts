import { networkInterfaces } from "node:os";
import { sleep } from "../../base/async.ts";
import { invalid, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { HttpServer, type Incoming } from "../../http/server.ts";
import { portForwardProtocol, servePortForwardSpdy } from "./port-forward-spdy.ts";
import {
  maxPorts,
  portForwardSubprotocols,
  servePortForwardWebSocket,
  tunnelSubprotocol,
} from "./port-forward-websocket.ts";
import type { RemoteCommand } from "./remote-command.ts";
import { remoteCommandProtocols, serveRemoteCommandSpdy, versionOf } from "./remote-command-spdy.ts";
import { remoteCommandSubprotocols, serveRemoteCommandWebSocket } from "./remote-command-websocket.ts";
import { Tokens } from "./tokens.ts";
import type {
  AttachRequest,
  ExecRequest,
  PortForwardRequest,
  Streaming,
  StreamingRuntime,
  StreamingServerOptions,
} from "./types.ts";
import { WebSocketConnection } from "./websocket/connection.ts";
import { answerHandshake, isWebSocket } from "./websocket/handshake.ts";
import { tunnel } from "./websocket/tunnel.ts";
import { IdleTimer, touching, type Wire } from "./wire.ts";

type Pending = RemoteCommand | { readonly kind: "portforward"; readonly request: PortForwardRequest };

/** How long `close` waits for runtimes that were told to end. */
const closeGrace = 10_000;

/** The server behind CRI's Exec, Attach and PortForward: kubelet and crictl are sent to the URLs it gives out. */
export class StreamingServer implements Streaming {
  readonly address: string;
  readonly port: number;
  readonly #http: HttpServer;
  readonly #base: URL;
  readonly #tokens: Tokens<Pending>;
  readonly #sessions: Set<Promise<void>>;

  private constructor(
    http: HttpServer,
    bound: { address: string; port: number; base: URL },
    tokens: Tokens<Pending>,
    sessions: Set<Promise<void>>,
  ) {
    this.#http = http;
    this.address = bound.address;
    this.port = bound.port;
    this.#base = bound.base;
    this.#tokens = tokens;
    this.#sessions = sessions;
  }

  static async open(options: StreamingServerOptions): Promise<StreamingServer> {
    const tokens = new Tokens<Pending>();
    const sessions = new Set<Promise<void>>();
    const prefix = options.baseUrl === undefined ? "" : pathOf(new URL(options.baseUrl));
    const sessionOptions = {
      runtime: options.runtime,
      idleTimeout: options.idleTimeout ?? 4 * 60 * 60 * 1000,
      creationTimeout: options.creationTimeout ?? 30_000,
    };
    const http = new HttpServer(async (incoming) => {
      await answer(incoming, { tokens, sessions, prefix, ...sessionOptions }).catch((error) => {
        log.warn("streaming request failed", { error: messageOf(error) });
        if (!incoming.reply.started) incoming.reply.text(500, messageOf(error));
      });
    });
    const host = options.address.includes(":") ? `[${options.address}]` : options.address;
    const { tls } = options;
    const bound = await http.listen(`tcp://${host}:${options.port}`, {
      tls: tls && {
        cert: tls.certificate,
        key: tls.key,
        ...(tls.clientAuthority === undefined ? {} : { ca: tls.clientAuthority }),
        verify: tls.clientAuthority !== undefined,
      },
    });
    const port = Number(/:(\d+)$/.exec(bound)![1]);
    const base = new URL(
      options.baseUrl ?? `${tls ? "https" : "http"}://${reachable(options.address)}:${port}`,
    );
    return new StreamingServer(http, { address: options.address, port, base }, tokens, sessions);
  }

  exec(request: ExecRequest): string {
    checkStreams(request);
    return this.#url({ kind: "exec", request });
  }

  attach(request: AttachRequest): string {
    checkStreams(request);
    return this.#url({ kind: "attach", request });
  }

  portForward(request: PortForwardRequest): string {
    if (request.podSandboxId === "") throw invalid("missing required pod_sandbox_id");
    const wrong = request.ports.find((port) => !Number.isInteger(port) || port < 1 || port > 65535);
    if (wrong !== undefined) throw invalid(`invalid port ${wrong}`);
    return this.#url({ kind: "portforward", request });
  }

  #url(pending: Pending): string {
    return `${this.#base.origin}${pathOf(this.#base)}/${pending.kind}/${this.#tokens.put(pending)}`;
  }

  async close(): Promise<void> {
    this.#tokens.clear();
    this.#http.close();
    await Promise.race([Promise.allSettled(this.#sessions), sleep(closeGrace)]);
  }
}

/** A URL's path without its last slash. */
const pathOf = (url: URL) => url.pathname.replace(/\/+$/, "");

/** An address that others can use for `address`, in a URL. */
function reachable(address: string): string {
  let chosen = address;
  if (address === "" || address === "0.0.0.0" || address === "::") {
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const outside = addresses.filter(({ internal, scopeid }) => !internal && !scopeid);
    chosen =
      (outside.find(({ family }) => family === "IPv4") ?? outside[0])?.address ??
      (address === "::" ? "::1" : "127.0.0.1");
  }
  return chosen.includes(":") ? `[${chosen}]` : chosen;
}

function checkStreams(request: AttachRequest): void {
  if (request.containerId === "") throw invalid("missing required container_id");
  if (request.tty && request.stderr) throw invalid("tty and stderr cannot both be true");
  if (!request.stdin && !request.stdout && !request.stderr)
    throw invalid("one of stdin, stdout, or stderr must be set");
}

interface Context {
  readonly tokens: Tokens<Pending>;
  readonly sessions: Set<Promise<void>>;
  readonly prefix: string;
  readonly runtime: StreamingRuntime;
  readonly idleTimeout: number;
  readonly creationTimeout: number;
}

/** A refused handshake leaves its token: the client may try another protocol. */
async function answer(incoming: Incoming, context: Context): Promise<void> {
  const { head, reply } = incoming;
  const path = head.target.split("?")[0]!;
  const route = path.startsWith(context.prefix)
    ? /^\/(exec|attach|portforward)\/([\w-]+)$/.exec(path.slice(context.prefix.length))
    : undefined;
  if (!route) return reply.text(404, "404 page not found\n");
  if (head.method !== "GET" && head.method !== "POST") return reply.text(405, "405: Method Not Allowed\n");
  const token = route[2]!;
  const pending = context.tokens.peek(token);
  if (!pending || pending.kind !== route[1]) return reply.text(404, "404 page not found\n");
  if (!reply.wantsUpgrade) return reply.text(400, "unable to upgrade: missing upgrade headers in request\n");
  if (isWebSocket(head)) return await webSocket(incoming, token, pending, context);
  if (head.headers.get("upgrade")?.trim().toLowerCase() === "spdy/3.1")
    return await spdy(incoming, token, pending, context);
  return reply.text(400, "unable to upgrade: neither SPDY/3.1 nor websocket is asked for\n");
}

async function spdy(
  { head, reply }: Incoming,
  token: string,
  pending: Pending,
  context: Context,
): Promise<void> {
  const supported = pending.kind === "portforward" ? [portForwardProtocol] : remoteCommandProtocols;
  const named = head.headers.get("x-stream-protocol-version");
  const wanted = named?.split(",").map((name) => name.trim());
  const protocol = wanted ? wanted.find((name) => supported.includes(name)) : "";
  if (protocol === undefined) {
    reply.header("X-Accepted-Stream-Protocol-Versions", supported.join(", "));
    const sides = `client supports ${wanted?.join(", ")}, server accepts ${supported.join(", ")}`;
    return reply.text(403, `unable to upgrade: unable to negotiate protocol: ${sides}\n`);
  }
  context.tokens.take(token);
  const wire = await reply.upgrade(
    "SPDY/3.1",
    protocol === "" ? {} : { "X-Stream-Protocol-Version": protocol },
  );
  const timer = idleTimer(wire, context);
  const watched = touching(wire, timer);
  const serving =
    pending.kind === "portforward"
      ? servePortForwardSpdy(watched, pending.request, context)
      : serveRemoteCommandSpdy(watched, pending, { ...context, version: versionOf(protocol) });
  track(serving, context);
}

async function webSocket(
  { head, reply }: Incoming,
  token: string,
  pending: Pending,
  context: Context,
): Promise<void> {
  const supported = pending.kind === "portforward" ? portForwardSubprotocols : remoteCommandSubprotocols;
  const handshake = answerHandshake(head, supported);
  if (!("protocol" in handshake)) {
    for (const [name, value] of Object.entries(handshake.headers ?? {})) reply.header(name, value);
    return reply.text(handshake.status, `unable to upgrade: ${handshake.reason}\n`);
  }
  const { protocol } = handshake;
  if (pending.kind === "portforward" && protocol !== tunnelSubprotocol) {
    const { length } = pending.request.ports;
    if (length === 0 || length > maxPorts)
      return reply.text(
        400,
        `unable to upgrade: between 1 and ${maxPorts} ports are needed, not ${length}\n`,
      );
  }
  context.tokens.take(token);
  const wire = await reply.upgrade("websocket", handshake.headers);
  const timer = idleTimer(wire, context);
  const { runtime } = context;
  let serving: Promise<void>;
  if (pending.kind !== "portforward")
    serving = serveRemoteCommandWebSocket(wire, pending, { protocol, timer, runtime });
  else if (protocol === tunnelSubprotocol)
    serving = servePortForwardSpdy(
      touching(tunnel(new WebSocketConnection(wire)), timer),
      pending.request,
      context,
    );
  else serving = servePortForwardWebSocket(wire, pending.request, { protocol, timer, runtime });
  track(serving, context);
}

/** Runs until the connection is gone: also one that is ending gets no longer than this to take its last bytes. */
function idleTimer(wire: Wire, { idleTimeout }: Context): IdleTimer {
  const timer = new IdleTimer(idleTimeout, () => wire.destroy());
  if (wire.signal.aborted) timer.stop();
  else wire.signal.addEventListener("abort", () => timer.stop(), { once: true });
  return timer;
}

function track(serving: Promise<void>, { sessions }: Context): void {
  const settled = serving
    .catch((error) => log.warn("streaming session failed", { error: messageOf(error) }))
    .finally(() => sessions.delete(settled));
  sessions.add(settled);
}
