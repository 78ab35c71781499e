import { unlinkSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { SocketInput } from "./input.ts";
import { listen, type ServerTls } from "./listen.ts";
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

  /** Listens on `unix:///path` or, with TLS when given, `tcp://host:port`; gives the address bound. */
  async listen(host: string, tls?: ServerTls): Promise<string> {
    const listener = await listen(host, tls, (socket) => void this.#serve(socket));
    this.#servers.push(listener.server);
    if (listener.path !== undefined) this.#paths.push(listener.path);
    return listener.address;
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
