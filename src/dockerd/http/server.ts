import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { CortenError, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { SocketInput } from "./input.ts";
import { Reply } from "./reply.ts";
import { BadRequest, RequestBody, type RequestHead, readHead } from "./request.ts";

/** One request as the router sees it. */
export interface Incoming {
  head: RequestHead;
  body: RequestBody;
  reply: Reply;
  /** Aborts when the client goes away before the answer is complete. */
  signal: AbortSignal;
}

/** A body this long is read to keep the connection; a longer one costs it. */
const drainLimit = 256 * 1024;

/**
 * An HTTP/1.1 server on sockets of our own. Bun's node:http cannot hand over the connection of a request
 * that carries no Upgrade header, which the Engine API's attach and exec do.
 */
export class HttpServer {
  readonly #handle: (incoming: Incoming) => Promise<void>;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #paths: string[] = [];

  constructor(handle: (incoming: Incoming) => Promise<void>) {
    this.#handle = handle;
  }

  /** Listens on `unix:///path` or `tcp://host:port`; gives the address bound. */
  async listen(host: string): Promise<string> {
    const server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket));
    if (host.startsWith("unix://")) {
      const path = host.slice("unix://".length);
      await removeStaleSocket(path);
      mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
      const before = process.umask(0o117);
      try {
        await listening(server, (done) => server.listen(path, done));
      } finally {
        process.umask(before);
      }
      chmodSync(path, 0o660);
      const group = groupId("docker");
      if (group !== undefined && process.getuid?.() === 0) chownSync(path, 0, group);
      this.#paths.push(path);
      this.#servers.push(server);
      return host;
    }
    const tcp = /^tcp:\/\/(\[[0-9a-fA-F:]+\]|[^:/]*):(\d+)$/.exec(host);
    if (!tcp)
      throw new CortenError(
        "invalid_argument",
        `invalid host ${JSON.stringify(host)}: use unix:///path or tcp://host:port`,
      );
    const name = tcp[1]!.replace(/^\[|\]$/g, "") || "127.0.0.1";
    await listening(server, (done) => server.listen(Number(tcp[2]), name, done));
    this.#servers.push(server);
    const bound = server.address();
    return typeof bound === "object" && bound ? `tcp://${tcp[1] || "127.0.0.1"}:${bound.port}` : host;
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    const input = new SocketInput(socket);
    try {
      while (!socket.destroyed && (await this.#one(socket, input)));
    } catch (error) {
      log.debug("connection failed", { error: messageOf(error) });
      socket.destroy();
    }
  }

  /** Serves one request; true when the connection can carry another. */
  async #one(socket: Socket, input: SocketInput): Promise<boolean> {
    let head: RequestHead | undefined;
    let body: RequestBody;
    try {
      head = await readHead(input);
      if (!head) {
        socket.end();
        return false;
      }
      body = new RequestBody(input, head, () => socket.write("HTTP/1.1 100 Continue\r\n\r\n"));
    } catch (error) {
      const status = error instanceof BadRequest ? error.status : 400;
      const text = messageOf(error);
      socket.end(
        `HTTP/1.1 ${status} Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
      return false;
    }
    const controller = new AbortController();
    const reply = new Reply(socket, input, head, body, {});
    input.onGone = () => {
      if (!reply.hijacked) controller.abort();
    };
    await this.#handle({ head, body, reply, signal: controller.signal });
    input.onGone = undefined;
    if (reply.hijacked) return false;
    if (reply.close || input.ended || !(await body.drain(drainLimit))) {
      socket.end();
      socket.destroySoon();
      return false;
    }
    return true;
  }

  /** Stops listening and ends every connection. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const path of this.#paths) {
      try {
        unlinkSync(path);
      } catch {
        // Removed by someone else: it is gone either way.
      }
    }
  }
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
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (alive) throw new CortenError("already_exists", `another daemon answers on ${path}`);
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
