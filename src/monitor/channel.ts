import { CortenError } from "../base/errors.ts";
import { syscall } from "../sys/libc.ts";

/** Frame types of native/base.h; native/README.md describes the payloads. */
export const frameTypes = {
  hello: 1,
  ready: 2,
  failed: 3,
  sync: 4,
  stdout: 5,
  stderr: 6,
  exit: 7,
  ack: 8,
  lagged: 9,
  oom: 10,
  attach: 16,
  stdin: 17,
  stdinClose: 18,
  resize: 19,
  signal: 20,
  reopen: 21,
  syncDone: 22,
} as const;

export const protocolVersion = 1;
const headerBytes = 8;
/** The monitor sends at most 64 KiB at once; anything larger is not of ours. */
const maxPayload = 1 << 20;

export interface ChannelEvents {
  frame(type: number, payload: Buffer): void;
  /** Once, after the last frame. */
  close(): void;
}

/** Framed messages over a unix socket, with back pressure in both directions. */
export class Channel {
  #socket: import("bun").Socket<undefined> | undefined;
  #events: ChannelEvents;
  #input: Buffer = Buffer.alloc(0);
  #output: Uint8Array[] = [];
  #drained: Array<() => void> = [];
  #paused = false;
  #closed = false;

  private constructor(events: ChannelEvents) {
    this.#events = events;
  }

  /** Takes over one end of a socket pair. */
  static async fromFd(fd: number, events: ChannelEvents): Promise<Channel> {
    const channel = new Channel(events);
    // Bun connects to a descriptor too (FdSocketOptions), its overloads only do not list it.
    const options = { fd, socket: channel.#handlers() } as unknown as import("bun").UnixSocketOptions;
    await Bun.connect(options);
    return channel;
  }

  /** Connects to a socket; not_found or unavailable when nobody listens there. */
  static async connect(path: string, events: ChannelEvents): Promise<Channel> {
    const channel = new Channel(events);
    try {
      await Bun.connect({ unix: path, socket: channel.#handlers() });
    } catch (error) {
      throw new CortenError("not_found", `no monitor answers at ${path}`, { cause: error });
    }
    return channel;
  }

  #handlers() {
    return {
      open: (socket: import("bun").Socket<undefined>) => {
        this.#socket = socket;
        if (this.#paused) socket.pause();
        this.#flush();
      },
      data: (_: unknown, data: Buffer) => this.#receive(data),
      drain: () => this.#flush(),
      end: () => this.#finish(),
      close: () => this.#finish(),
      error: () => this.#finish(),
      connectError: () => this.#finish(),
    };
  }

  #receive(data: Buffer): void {
    this.#input = this.#input.length > 0 ? Buffer.concat([this.#input, data]) : Buffer.from(data);
    let at = 0;
    while (this.#input.length - at >= headerBytes && !this.#closed) {
      const length = this.#input.readUInt32LE(at);
      if (length > maxPayload) {
        this.close();
        return;
      }
      if (this.#input.length - at < headerBytes + length) break;
      const payload = this.#input.subarray(at + headerBytes, at + headerBytes + length);
      const type = this.#input[at + 4]!;
      at += headerBytes + length;
      this.#events.frame(type, payload);
    }
    this.#input = this.#input.subarray(at);
  }

  /** Sends a frame; false when it waits for the other side (`drained` tells when to go on). */
  send(type: number, payload: Uint8Array = new Uint8Array(0)): boolean {
    if (this.#closed) return true;
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(payload.length, 0);
    header[4] = type;
    this.#output.push(Buffer.concat([header, payload]));
    this.#flush();
    return this.#output.length === 0;
  }

  /** Calls back once everything sent so far is with the kernel. */
  drained(callback: () => void): void {
    if (this.#output.length === 0 || this.#closed) callback();
    else this.#drained.push(callback);
  }

  #flush(): void {
    const socket = this.#socket;
    if (!socket || this.#closed) return;
    while (this.#output.length > 0) {
      const next = this.#output[0]!;
      const written = socket.write(next);
      if (written < 0) {
        this.#finish();
        return;
      }
      if (written < next.length) {
        this.#output[0] = next.subarray(written);
        return;
      }
      this.#output.shift();
    }
    for (const callback of this.#drained.splice(0)) callback();
  }

  /** Stops and resumes reading: the monitor's buffer for us fills meanwhile. */
  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }
  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
  }

  /** Whether this channel keeps the event loop alive. */
  unref(): void {
    this.#socket?.unref();
  }
  ref(): void {
    this.#socket?.ref();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Closes at once; frames not yet sent are lost. */
  close(): void {
    this.#socket?.end();
    this.#finish();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#output = [];
    for (const callback of this.#drained.splice(0)) callback();
    this.#socket?.end();
    this.#events.close();
  }
}

/** Two connected stream sockets, close-on-exec: ours and the one to hand to a child. */
export function socketPair(): { ours: number; theirs: number } {
  const pair = new Int32Array(2);
  const unix = 1;
  const stream = 1;
  const closeOnExec = 0o2000000;
  syscall("socketpair", [unix, stream | closeOnExec, 0, new Uint8Array(pair.buffer)]);
  return { ours: pair[0]!, theirs: pair[1]! };
}
