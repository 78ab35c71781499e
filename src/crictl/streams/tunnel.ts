/** SPDY inside the binary messages of a WebSocket: how Kubernetes forwards ports over WebSocket (KEP-4006). */
import type { Wire } from "../../cri/streaming/wire.ts";
import { type TlsOptions, tlsSettings, type Upgraded } from "./upgrade.ts";

const prefix = "SPDY/3.1+";
/** Bytes under way at which we wait. */
const sendLimit = 1 << 20;

export async function tunnel(url: URL, protocol: string, tls: TlsOptions): Promise<Upgraded> {
  const address = new URL(url);
  address.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address.href, {
    // As a header: the name of this protocol is none that WebSocket's own interface takes.
    headers: { "Sec-WebSocket-Protocol": prefix + protocol },
    ...(address.protocol === "wss:" ? { tls: tlsSettings(tls) } : {}),
  } as unknown as string[]);
  socket.binaryType = "arraybuffer";
  const gone = new AbortController();
  const chunks: Uint8Array[] = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => {
    chunks.push(typeof data === "string" ? Buffer.from(data) : new Uint8Array(data as ArrayBuffer));
    wake();
  };
  await new Promise<void>((done, fail) => {
    socket.onopen = () => done();
    socket.onerror = (event) => {
      const { message } = event as unknown as { message?: string };
      fail(new Error(`unable to upgrade streaming request: websocket: ${message || "bad handshake"}`));
    };
    socket.onclose = () => {
      gone.abort();
      wake();
    };
  });
  const wire: Wire = {
    async read() {
      while (chunks.length === 0) {
        if (gone.signal.aborted) return undefined;
        await new Promise<void>((next) => {
          wake = next;
        });
      }
      return chunks.shift();
    },
    async write(bytes) {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send(new Uint8Array(bytes));
      while (socket.bufferedAmount > sendLimit && socket.readyState === WebSocket.OPEN) await Bun.sleep(2);
      return socket.readyState === WebSocket.OPEN;
    },
    end: () => socket.close(),
    destroy: () => socket.close(),
    signal: gone.signal,
  };
  return { wire, protocol: socket.protocol.slice(prefix.length) };
}
