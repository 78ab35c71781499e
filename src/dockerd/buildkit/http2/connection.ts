/**
 * HTTP/2 (RFC 9113) on bytes that are already there: a connection that was hijacked from HTTP/1.1, or a stream inside
 * another connection. Either side can be ours: in a session the client of the build is the server.
 *
 * Why our own: Bun's http2 wants a socket of its own, and its client now and then stops for good in the middle of a
 * message that is larger than a window (containerd/client/connect.ts); contexts are made of nothing else.
 */
import { CortenError, messageOf } from "../../../base/errors.ts";
import {
  encodeFrame,
  encodeSettings,
  errorCode,
  type Frame,
  FrameReader,
  flag,
  frameType,
  number32,
  preface,
  setting,
} from "./frames.ts";
import { encodeHeaders, type Field, HeaderDecoder } from "./hpack.ts";
import { Http2Stream } from "./stream.ts";

/** The bytes below; a hijacked connection is one. */
export interface ByteConnection {
  read(): Promise<Uint8Array | undefined>;
  /** Waits while the peer is slow; false when it is gone. */
  write(data: Uint8Array): Promise<boolean>;
  destroy(): void;
}

export interface ConnectionOptions {
  role: "client" | "server";
  /** A server's: a request has come. */
  onStream?: (stream: Http2Stream, headers: Field[]) => void;
}

/** Received bytes that may wait in one stream, and in all of them. */
const streamWindow = 1 << 20;
const connectionWindow = 8 << 20;
const defaultWindow = 65_535;
const largestWindow = 2 ** 31 - 1;
/** What we take in one frame, and what others take when they do not say. */
const ourFrames = 256 << 10;
const defaultFrames = 16_384;
/** Above it our writers wait. */
const highWater = 1 << 20;
const outgoingLimit = 8 << 20;
const headerLimit = 2 << 20;
const streamLimit = 1000;

export class Http2Connection {
  readonly #bytes: ByteConnection;
  readonly #options: ConnectionOptions;
  readonly #decoder = new HeaderDecoder();
  readonly #streams = new Map<number, Http2Stream>();
  #nextId: number;
  #lastPeerId = 0;
  #peerFrames = defaultFrames;
  #peerInitialWindow = defaultWindow;
  #sendWindow = defaultWindow;
  /** Received and handed out, not yet told to the peer. */
  #taken = 0;
  #outgoing: Uint8Array[] = [];
  #outgoingSize = 0;
  #flushing: Promise<void> | undefined;
  #block: { stream: number; endStream: boolean; parts: Buffer[]; size: number } | undefined;
  #waiting: (() => void)[] = [];
  #failure: CortenError | undefined;
  #goneAway = false;
  readonly #closed = new AbortController();

  constructor(bytes: ByteConnection, options: ConnectionOptions) {
    this.#bytes = bytes;
    this.#options = options;
    this.#nextId = options.role === "client" ? 1 : 2;
    if (options.role === "client") this.#queue(preface);
    this.#queue(
      encodeSettings([
        [setting.enablePush, 0],
        [setting.maxConcurrentStreams, streamLimit],
        [setting.initialWindowSize, streamWindow],
        [setting.maxFrameSize, ourFrames],
      ]),
    );
    this.#queue(encodeFrame(frameType.windowUpdate, 0, 0, number32(connectionWindow - defaultWindow)));
    void this.#receive();
  }

  /** Aborts when the connection is over. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** A new stream of ours, with its request. */
  open(headers: readonly Field[]): Http2Stream {
    if (this.#failure) throw this.#failure;
    if (this.#goneAway) throw new CortenError("unavailable", "the other side is closing the connection");
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = this.#stream(id);
    stream.sendHeaders(headers, false);
    return stream;
  }

  #stream(id: number): Http2Stream {
    const stream = new Http2Stream(id, this.#peerInitialWindow, {
      headers: (headers, end) => this.#sendHeaders(id, headers, end),
      data: (data, end) => this.#sendData(stream, data, end),
      reset: (code) => {
        this.#queue(encodeFrame(frameType.reset, 0, id, number32(code)));
      },
      taken: (bytes) => this.#take(stream, bytes),
      closed: () => void this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  /** Ends the connection and fails what is open. */
  close(): void {
    this.#fail(new CortenError("unavailable", "the connection was closed"));
  }

  #fail(error: CortenError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    this.#streams.clear();
    this.#wake();
    this.#closed.abort(error);
    this.#bytes.destroy();
  }

  // Sending.

  #queue(frame: Uint8Array): void {
    if (this.#failure) return;
    this.#outgoing.push(frame);
    this.#outgoingSize += frame.length;
    // Data waits for room; what is left are answers to a peer that asks and does not read.
    if (this.#outgoingSize > outgoingLimit) {
      this.#fail(new CortenError("resource_exhausted", "HTTP/2: the other side does not read"));
      return;
    }
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    // What is sent in one turn goes out together.
    await Promise.resolve();
    while (this.#outgoing.length > 0 && !this.#failure) {
      const data = this.#outgoing.length === 1 ? this.#outgoing[0]! : Buffer.concat(this.#outgoing);
      this.#outgoing = [];
      this.#outgoingSize = 0;
      if (!(await this.#bytes.write(data).catch(() => false))) {
        this.#fail(new CortenError("unavailable", "the other side is gone"));
        break;
      }
    }
    this.#flushing = undefined;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #sendHeaders(id: number, headers: readonly Field[], end: boolean): void {
    const block = encodeHeaders(headers);
    let at = 0;
    // Section 4.3: the frames of a block follow each other.
    do {
      const part = block.subarray(at, at + this.#peerFrames);
      const first = at === 0;
      at += part.length;
      const flags = (at >= block.length ? flag.endHeaders : 0) | (first && end ? flag.endStream : 0);
      this.#queue(encodeFrame(first ? frameType.headers : frameType.continuation, flags, id, part));
    } while (at < block.length);
  }

  /** Section 5.2: as much at a time as the peer has room for. */
  async #sendData(stream: Http2Stream, data: Uint8Array, end: boolean): Promise<void> {
    let at = 0;
    do {
      while (
        !this.#failure &&
        !stream.failed &&
        at < data.length &&
        (this.#outgoingSize > highWater || Math.min(this.#sendWindow, stream.sendWindow) <= 0)
      )
        await this.#changed();
      if (this.#failure) throw this.#failure;
      if (stream.failed) throw stream.failed;
      const room = Math.min(this.#sendWindow, stream.sendWindow, this.#peerFrames);
      const part = data.subarray(at, at + Math.max(0, room));
      at += part.length;
      this.#sendWindow -= part.length;
      stream.sendWindow -= part.length;
      const last = end && at >= data.length;
      this.#queue(encodeFrame(frameType.data, last ? flag.endStream : 0, stream.id, part));
    } while (at < data.length);
  }

  // Receiving.

  #take(stream: Http2Stream, bytes: number): void {
    this.#taken += bytes;
    if (this.#taken >= connectionWindow / 4) {
      this.#queue(encodeFrame(frameType.windowUpdate, 0, 0, number32(this.#taken)));
      this.#taken = 0;
    }
    if (stream.receiving && stream.untold >= streamWindow / 4)
      this.#queue(encodeFrame(frameType.windowUpdate, 0, stream.id, number32(stream.tell())));
  }

  async #receive(): Promise<void> {
    const reader = new FrameReader(ourFrames + 1024);
    try {
      let begin = this.#options.role === "server" ? preface.length : 0;
      let head: Buffer = Buffer.alloc(0);
      for (let bytes = await this.#bytes.read(); bytes; bytes = await this.#bytes.read()) {
        let rest: Uint8Array = bytes;
        if (begin > 0) {
          head = Buffer.concat([head, rest]);
          if (!preface.subarray(0, head.length).equals(head.subarray(0, preface.length)))
            throw new CortenError("invalid_argument", "HTTP/2: this is not HTTP/2");
          if (head.length < preface.length) continue;
          rest = head.subarray(preface.length);
          begin = 0;
        }
        for (const frame of reader.push(rest)) this.#frame(frame);
      }
      this.#fail(new CortenError("unavailable", "the other side closed the connection"));
    } catch (error) {
      if (!this.#failure) {
        const payload = Buffer.concat([
          number32(this.#lastPeerId),
          number32(errorCode.protocol),
          Buffer.from(messageOf(error)),
        ]);
        this.#queue(encodeFrame(frameType.goAway, 0, 0, payload));
        await this.#flushing;
      }
      this.#fail(error instanceof CortenError ? error : new CortenError("internal", messageOf(error)));
    }
  }

  #frame({ type, flags, stream: id, payload }: Frame): void {
    if (this.#block && (type !== frameType.continuation || id !== this.#block.stream))
      throw protocolError("a header block was interrupted");
    switch (type) {
      case frameType.data: {
        const stream = this.#streams.get(id);
        const data = unpadded(payload, flags);
        if (!stream) {
          // It was reset meanwhile: the bytes count all the same.
          this.#taken += payload.length;
          return;
        }
        stream.receiveData(data, payload.length, (flags & flag.endStream) !== 0, streamWindow);
        return;
      }
      case frameType.headers: {
        let block = unpadded(payload, flags);
        if ((flags & flag.priority) !== 0) block = block.subarray(5);
        this.#block = {
          stream: id,
          endStream: (flags & flag.endStream) !== 0,
          parts: [block],
          size: block.length,
        };
        if ((flags & flag.endHeaders) !== 0) this.#headers();
        return;
      }
      case frameType.continuation: {
        if (!this.#block) throw protocolError("an unexpected continuation");
        this.#block.parts.push(payload);
        this.#block.size += payload.length;
        if (this.#block.size > headerLimit || this.#block.parts.length > 1000)
          throw new CortenError("resource_exhausted", "HTTP/2: headers are too large");
        if ((flags & flag.endHeaders) !== 0) this.#headers();
        return;
      }
      case frameType.reset:
        this.#streams.get(id)?.receiveReset(payload.length >= 4 ? payload.readUInt32BE(0) : errorCode.none);
        this.#wake();
        return;
      case frameType.settings:
        if ((flags & flag.ack) === 0) this.#settings(payload);
        return;
      case frameType.ping:
        if (payload.length !== 8) throw protocolError("a ping has 8 bytes");
        if ((flags & flag.ack) === 0) this.#queue(encodeFrame(frameType.ping, flag.ack, 0, payload));
        return;
      case frameType.goAway: {
        this.#goneAway = true;
        const last = payload.length >= 4 ? payload.readUInt32BE(0) & 0x7fffffff : 0;
        for (const stream of [...this.#streams.values()])
          if (stream.id > last && this.#isOurs(stream.id))
            stream.fail(new CortenError("unavailable", "the other side closed the connection"));
        return;
      }
      case frameType.windowUpdate: {
        if (payload.length !== 4) throw protocolError("a window update has 4 bytes");
        const more = payload.readUInt32BE(0) & 0x7fffffff;
        if (id === 0) this.#sendWindow = grown(this.#sendWindow, more);
        else {
          const stream = this.#streams.get(id);
          if (stream) stream.sendWindow = grown(stream.sendWindow, more);
        }
        this.#wake();
        return;
      }
      case frameType.push:
        throw protocolError("nothing may be pushed");
      default:
      // Section 5.5: what is not known is ignored.
    }
  }

  #isOurs(id: number): boolean {
    return (id & 1) === (this.#options.role === "client" ? 1 : 0);
  }

  #headers(): void {
    const { stream: id, endStream, parts } = this.#block!;
    this.#block = undefined;
    const fields = this.#decoder.decode(Buffer.concat(parts));
    const known = this.#streams.get(id);
    if (known) {
      known.receiveHeaders(fields, endStream);
      return;
    }
    // The end of a stream that we have given up.
    if (this.#isOurs(id) || id <= this.#lastPeerId) return;
    if (this.#options.role === "client" || (id & 1) === 0) throw protocolError("an unexpected stream");
    this.#lastPeerId = id;
    if (this.#streams.size >= streamLimit || !this.#options.onStream) {
      this.#queue(encodeFrame(frameType.reset, 0, id, number32(errorCode.refused)));
      return;
    }
    const stream = this.#stream(id);
    if (endStream) stream.receiveEnd();
    this.#options.onStream(stream, fields);
  }

  #settings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      switch (payload.readUInt16BE(at)) {
        case setting.initialWindowSize: {
          if (value > largestWindow) throw protocolError("a window is too large");
          for (const stream of this.#streams.values()) stream.sendWindow += value - this.#peerInitialWindow;
          this.#peerInitialWindow = value;
          this.#wake();
          break;
        }
        case setting.maxFrameSize:
          if (value < defaultFrames || value > 0xffffff)
            throw protocolError("a frame's size is out of range");
          // Larger ones would only hold up the others.
          this.#peerFrames = Math.min(value, ourFrames);
          break;
        default:
      }
    }
    this.#queue(encodeFrame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
  }
}

const protocolError = (what: string) => new CortenError("internal", `HTTP/2: ${what}`);

function grown(window: number, more: number): number {
  if (window + more > largestWindow) throw protocolError("a window is too large");
  return window + more;
}

function unpadded(payload: Buffer, flags: number): Buffer {
  if ((flags & flag.padded) === 0) return payload;
  const padding = payload[0] ?? 0;
  if (padding >= payload.length) throw protocolError("a frame is all padding");
  return payload.subarray(1, payload.length - padding);
}
