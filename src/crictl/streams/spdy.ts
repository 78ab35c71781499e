/** Exec and attach over SPDY/3.1: a stream for each of error, stdin, stdout, stderr and the terminal's size. */
import { SpdySession } from "../../cri/streaming/spdy/session.ts";
import type { SpdyStream } from "../../cri/streaming/spdy/stream.ts";
import { outcome, type RemoteSession } from "./session.ts";
import { upgrade } from "./upgrade.ts";

/** The best first. The older ones differ for us in what they say about failures only. */
const protocols = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"];

export async function overSpdy(session: RemoteSession): Promise<void> {
  const { wire, protocol } = await upgrade(session.url, protocols, session.tls);
  const connection = new SpdySession(wire, { role: "client" });
  const reading = connection.run();
  const leave = () => connection.destroy();
  session.signal.addEventListener("abort", leave, { once: true });
  if (session.signal.aborted) leave();
  try {
    const open = (type: string) => connection.open(new Map([["streamtype", type]]));
    const error = await open("error");
    const failure = readAll(error);
    void error.end();
    const stdin = session.stdin ? await open("stdin") : undefined;
    const stdout = await open("stdout");
    const stderr = session.tty ? undefined : await open("stderr");
    const resize = session.onSize ? await open("resize") : undefined;
    const stopSizes = resize
      ? session.onSize?.(({ width, height }) => {
          const size = Buffer.from(`${JSON.stringify({ Width: width, Height: height })}\n`);
          void resize.write(size).catch(() => {});
        })
      : undefined;
    try {
      if (stdin && session.stdin) void send(session.stdin, stdin);
      await Promise.all([
        receive(stdout, (bytes) => session.output("stdout", bytes)),
        stderr && receive(stderr, (bytes) => session.output("stderr", bytes)),
      ]);
      const text = await failure;
      // Without any answer the connection has broken: a server that is done says so, even of a success.
      if (text === "" && protocol === protocols[0] && !error.remoteEnd)
        throw new Error("error reading from error stream: connection lost");
      const problem = protocol === protocols[0] ? outcome(text) : text === "" ? undefined : new Error(text);
      if (problem) throw problem;
    } finally {
      stopSizes?.();
    }
  } finally {
    session.signal.removeEventListener("abort", leave);
    await connection.end();
    connection.destroy();
    await reading;
  }
}

async function send(from: AsyncIterable<Uint8Array>, to: SpdyStream): Promise<void> {
  try {
    for await (const bytes of from) await to.write(bytes);
    await to.end();
  } catch {
    // The other side has ended: its streams tell how.
  }
}

async function receive(from: SpdyStream, take: (bytes: Uint8Array) => void): Promise<void> {
  for await (const bytes of from.inbound) take(bytes);
}

/** Far more than any message. */
const messageLimit = 1 << 20;

export async function readAll(stream: SpdyStream): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream.inbound) {
    size += chunk.length;
    if (size <= messageLimit) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
