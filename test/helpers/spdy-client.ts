import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { SpdySession } from "../../src/cri/streaming/spdy/session.ts";
import type { SpdyStream } from "../../src/cri/streaming/spdy/stream.ts";

export interface SpdyClient {
  session: SpdySession;
  socket: Socket;
  /** Of the server's answer, in lower case. */
  head: string;
  /** Opens a stream by its type. */
  open(streamType: string, headers?: Record<string, string>): Promise<SpdyStream>;
}

/** Upgrades as kubectl and crictl do; rejects with the server's answer if it does not. */
export async function spdyClient(
  target: string,
  protocol: string | undefined,
  certificate: { key?: string; cert?: string } = {},
): Promise<SpdyClient> {
  const url = new URL(target);
  const port = Number(url.port);
  const socket: Socket =
    url.protocol === "https:"
      ? connectTls({ host: url.hostname, port, rejectUnauthorized: false, ...certificate })
      : connectTcp({ host: url.hostname, port });
  const gone = new AbortController();
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      gone.abort();
      resolve();
    });
  });
  const version = protocol === undefined ? "" : `X-Stream-Protocol-Version: ${protocol}\r\n`;
  socket.write(
    `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${version}Content-Length: 0\r\n\r\n`,
  );
  const pieces = socket[Symbol.asyncIterator]();
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const { value, done } = await pieces.next();
    if (done) break;
    text += Buffer.from(value as Uint8Array).toString("latin1");
  }
  if (!text.startsWith("HTTP/1.1 101 ")) {
    socket.destroy();
    throw new Error(text);
  }
  const session = new SpdySession(
    {
      read: async () => {
        const { value, done } = await pieces.next().catch(() => ({ value: undefined, done: true }));
        return done ? undefined : (value as Uint8Array);
      },
      write: async (bytes) => {
        if (socket.destroyed) return false;
        if (!socket.write(bytes))
          await Promise.race([new Promise<void>((resolve) => socket.once("drain", resolve)), closed]);
        return !socket.destroyed;
      },
      end: () => socket.end(),
      destroy: () => socket.destroy(),
      signal: gone.signal,
    },
    { role: "client" },
  );
  void session.run();
  return {
    session,
    socket,
    head: text.toLowerCase(),
    open: (streamType, headers = {}) =>
      session.open(new Map(Object.entries({ streamtype: streamType, ...headers }))),
  };
}
