/** Exec and attach over WebSocket: binary messages whose first byte is the channel. Version 5 can end single channels. */
import { outcome, type RemoteSession } from "./session.ts";
import { tlsSettings } from "./upgrade.ts";

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/** Bytes under way at which we wait. */
const sendLimit = 1 << 20;
const pieceSize = 32 << 10;

export async function overWebSocket(session: RemoteSession): Promise<void> {
  const url = new URL(session.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url.href, {
    protocols,
    ...(url.protocol === "wss:" ? { tls: tlsSettings(session.tls) } : {}),
  } as unknown as string[]);
  socket.binaryType = "arraybuffer";
  const leave = () => socket.close();
  session.signal.addEventListener("abort", leave, { once: true });
  let failure = "";
  let ended = false;
  let stopSizes: (() => void) | undefined;
  try {
    await new Promise<void>((done, fail) => {
      socket.onopen = () => {
        stopSizes = session.onSize?.(({ width, height }) =>
          socket.send(message(channel.resize, Buffer.from(JSON.stringify({ Width: width, Height: height })))),
        );
        if (session.stdin) void send(session.stdin, socket);
      };
      socket.onmessage = ({ data }) => {
        const bytes = typeof data === "string" ? Buffer.from(data) : new Uint8Array(data as ArrayBuffer);
        const body = bytes.subarray(1);
        if (bytes[0] === channel.stdout) session.output("stdout", body);
        else if (bytes[0] === channel.stderr) session.output("stderr", body);
        else if (bytes[0] === channel.error && body.length > 0) {
          failure += Buffer.from(body).toString();
          ended = true;
        }
      };
      socket.onerror = (event) => {
        const { message: text } = event as unknown as { message?: string };
        fail(new Error(`unable to upgrade streaming request: websocket: ${text || "bad handshake"}`));
      };
      socket.onclose = ({ code, reason }) => {
        if (ended || code === 1000) done();
        else
          fail(
            new Error(
              `error reading from error stream: websocket: close ${code}${reason ? `: ${reason}` : ""}`,
            ),
          );
      };
    });
  } finally {
    stopSizes?.();
    session.signal.removeEventListener("abort", leave);
    socket.close();
  }
  const problem = outcome(failure);
  if (problem) throw problem;
}

function message(number: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(1 + bytes.length);
  whole[0] = number;
  whole.set(bytes, 1);
  return whole;
}

async function send(from: AsyncIterable<Uint8Array>, socket: WebSocket): Promise<void> {
  try {
    for await (const chunk of from)
      for (let at = 0; at < chunk.length; at += pieceSize) {
        if (socket.readyState !== WebSocket.OPEN) return;
        socket.send(message(channel.stdin, chunk.subarray(at, at + pieceSize)));
        while (socket.bufferedAmount > sendLimit && socket.readyState === WebSocket.OPEN) await Bun.sleep(5);
      }
    // Version 4 has no way to say that nothing more comes.
    if (socket.protocol === protocols[0]) socket.send(message(channel.close, Uint8Array.of(channel.stdin)));
  } catch {
    // The other side has ended, and tells how.
  }
}
