import { createHash } from "node:crypto";
import { connect } from "node:net";
import type {
  ExecRequest,
  ForwardedStream,
  OutputStream,
  SessionStreams,
  StreamingRuntime,
} from "../../src/cri/streaming/types.ts";

/** Bytes that a lost, repeated or moved piece would change. */
export function* pattern(total: number): Generator<Uint8Array> {
  const block = new Uint8Array(64 * 1024 - 3);
  for (let index = 0; index < block.length; index++) block[index] = (index * 31 + (index >> 8)) & 0xff;
  for (let sent = 0; sent < total; sent += block.length)
    yield block.subarray(0, Math.min(block.length, total - sent));
}

export function patternDigest(total: number): string {
  const hash = createHash("sha256");
  for (const bytes of pattern(total)) hash.update(bytes);
  return hash.digest("hex");
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

/** A runtime without containers: commands and ports that each show one thing. */
export class FakeRuntime implements StreamingRuntime {
  readonly events: string[] = [];
  /** Sessions under way. */
  active = 0;
  /** Bytes that `source` has got rid of. */
  written = 0;

  async exec(request: ExecRequest, streams: SessionStreams, signal: AbortSignal): Promise<number> {
    this.active++;
    signal.addEventListener("abort", () => this.events.push(`aborted ${request.command[0]}`), { once: true });
    try {
      return await this.#command(request, streams, signal);
    } finally {
      this.active--;
    }
  }

  async #command(request: ExecRequest, streams: SessionStreams, signal: AbortSignal): Promise<number> {
    const { stdin, stdout, stderr, resize } = streams;
    const [name, argument] = request.command;
    const print = (text: string) => stdout?.write(Buffer.from(text));
    switch (name) {
      case "cat":
        for await (const bytes of stdin!) await stdout!.write(bytes);
        return 0;
      case "exit":
        return Number(argument);
      case "both":
        await print("out");
        await stderr!.write(Buffer.from("err"));
        return 3;
      case "source":
        for (const bytes of pattern(Number(argument))) {
          await stdout!.write(bytes);
          this.written += bytes.length;
        }
        return 0;
      case "sink": {
        const hash = createHash("sha256");
        for await (const bytes of stdin!) hash.update(bytes);
        await print(hash.digest("hex"));
        return 0;
      }
      case "duplex": {
        // Both directions at once, neither waiting for the other.
        const hash = createHash("sha256");
        const reading = (async () => {
          for await (const bytes of stdin!) hash.update(bytes);
        })();
        for (const bytes of pattern(Number(argument))) await stdout!.write(bytes);
        await reading;
        await stderr!.write(Buffer.from(hash.digest("hex")));
        return 0;
      }
      case "sizes": {
        await print("ready\n");
        let count = 0;
        for await (const { width, height } of resize) {
          await print(`${width}x${height}\n`);
          if (++count === Number(argument)) break;
        }
        return 0;
      }
      case "ignore-stdin":
        await print("done");
        return 0;
      case "hang":
        await print("hanging");
        await aborted(signal);
        return 0;
      case "deaf":
        // Reads nothing: the client's bytes pile up as far as they may.
        await aborted(signal);
        return 0;
      default:
        throw new Error(`no command ${name}`);
    }
  }

  async attach(
    request: { containerId: string },
    { stdin, stdout }: SessionStreams,
    signal: AbortSignal,
  ): Promise<void> {
    if (request.containerId === "none") throw new Error("container none is not running");
    this.active++;
    signal.addEventListener("abort", () => this.events.push("aborted attach"), { once: true });
    try {
      await stdout?.write(Buffer.from("attached\n"));
      if (stdin) for await (const bytes of stdin) await stdout?.write(bytes);
    } finally {
      this.active--;
    }
  }

  /** Port 1 echoes, 2 fails, 3 answers the digest of all it got; others are dialled on this machine. */
  async portForward(
    { port }: { podSandboxId: string; port: number },
    stream: ForwardedStream,
    signal: AbortSignal,
  ): Promise<void> {
    this.active++;
    signal.addEventListener("abort", () => this.events.push(`aborted port ${port}`), { once: true });
    try {
      if (port === 1) for await (const bytes of stream.readable) await stream.write(bytes);
      else if (port === 2) throw new Error("connection refused");
      else if (port === 3) {
        const hash = createHash("sha256");
        for await (const bytes of stream.readable) hash.update(bytes);
        await stream.write(Buffer.from(hash.digest("hex")));
      } else await dial(port, stream, signal);
    } finally {
      this.active--;
    }
  }
}

async function dial(port: number, stream: ForwardedStream, signal: AbortSignal): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  signal.addEventListener("abort", () => socket.destroy(), { once: true });
  const up = (async () => {
    for await (const bytes of stream.readable)
      if (!socket.write(bytes)) await new Promise<void>((resolve) => socket.once("drain", resolve));
    socket.end();
  })();
  for await (const bytes of socket) await stream.write(bytes as Uint8Array);
  await up;
  socket.destroy();
}

export const collect = async (source: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = [];
  for await (const bytes of source) parts.push(bytes);
  return Buffer.concat(parts);
};

export type { OutputStream };
