import { unlinkSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Connection } from "./connection.ts";
import { SocketInput } from "./input.ts";
import { type Listener, type ListenOptions, listen } from "./listen.ts";
import { Reply, reasonOf } from "./reply.ts";
import { BadRequest, endOfHead, RequestBody, type RequestHead, readHead } from "./request.ts";

/** One request as the router sees it. */
export interface Incoming {
  head: RequestHead;
  body: RequestBody;
  reply: Reply;
  /** Aborts when the client goes away before the answer is complete. Made when it is asked for. */
  readonly signal: AbortSignal;
}

/** What a client may take of us before it has said what it wants. */
export interface HttpLimits {
  /** Milliseconds from a head's first byte to its last. */
  headTimeout: number;
  /** Connections between requests; of more than these the one that waits longest is closed. */
  waiting: number;
}

const defaultLimits: HttpLimits = { headTimeout: 60_000, waiting: 1024 };

/** A body this long is read to keep the connection; a longer one costs it. */
const drainLimit = 256 * 1024;

/**
 * An HTTP/1.1 server on sockets of our own. Bun's node:http cannot hand over the connection of a request
 * that carries no Upgrade header, which the Engine API's attach and exec do. CRI's streaming shares it.
 */
export class HttpServer {
  readonly #handle: (incoming: Incoming) => Promise<void>;
  readonly #listeners: Listener[] = [];
  readonly #sockets = new Set<Connection>();
  readonly #paths: string[] = [];
  readonly #limits: HttpLimits;
  /** Connections that owe us a head, the longest waiting first. */
  readonly #waiting = new Set<Connection>();

  constructor(handle: (incoming: Incoming) => Promise<void>, limits: HttpLimits = defaultLimits) {
    this.#handle = handle;
    this.#limits = limits;
  }

  /** Listens on `unix:///path` or, with TLS when given, `tcp://host:port`; gives the address bound. */
  async listen(host: string, options: ListenOptions = {}): Promise<string> {
    // A TCP socket that was reset has no address either: only the listener tells where a client is.
    const local = host.startsWith("unix://");
    const listener = await listen(host, options, (socket) => void this.#serve(socket, local));
    this.#listeners.push(listener);
    if (listener.path !== undefined) this.#paths.push(listener.path);
    return listener.address;
  }

  async #serve(socket: Connection, local: boolean): Promise<void> {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    const input = new SocketInput(socket);
    try {
      while (!socket.destroyed && (await this.#one(socket, input, local)));
    } catch (error) {
      log.debug("connection failed", { error: messageOf(error) });
      socket.destroy();
    }
  }

  /** The next head, in time; a connection that has not begun one may wait for as long as there is room for it. */
  async #head(socket: Connection, input: SocketInput): Promise<RequestHead | undefined> {
    this.#waiting.add(socket);
    if (this.#waiting.size > this.#limits.waiting) {
      const [oldest] = this.#waiting;
      this.#waiting.delete(oldest!);
      oldest!.destroy();
    }
    let late = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await input.ready();
      // Nearly always the first read brings all of it.
      if (!input.holds(endOfHead))
        timer = setTimeout(() => {
          late = true;
          input.cut();
        }, this.#limits.headTimeout);
      const head = await readHead(input);
      if (late) throw new BadRequest(408, "request header took too long");
      return head;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(socket);
    }
  }

  /** Serves one request; true when the connection can carry another. */
  async #one(socket: Connection, input: SocketInput, local: boolean): Promise<boolean> {
    let head: RequestHead | undefined;
    let body: RequestBody;
    try {
      head = await this.#head(socket, input);
      if (!head) {
        socket.end();
        return false;
      }
      body = new RequestBody(input, head, () => socket.write("HTTP/1.1 100 Continue\r\n\r\n"));
    } catch (error) {
      const status = error instanceof BadRequest ? error.status : 400;
      const text = messageOf(error);
      socket.end(
        `HTTP/1.1 ${status} ${reasonOf(status)}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
      socket.destroySoon();
      return false;
    }
    let controller: AbortController | undefined;
    let gone = false;
    const reply = new Reply(socket, input, head, body, local);
    input.onGone = () => {
      if (reply.hijacked) return;
      gone = true;
      controller?.abort();
    };
    await this.#handle({
      head,
      body,
      reply,
      get signal() {
        controller ??= new AbortController();
        if (gone) controller.abort();
        return controller.signal;
      },
    });
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
    for (const listener of this.#listeners) listener.close();
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
