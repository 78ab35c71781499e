import { type Deferred, deferred } from "../../../base/async.ts";
import { CortenError, invalid, messageOf } from "../../../base/errors.ts";
import { log } from "../../../base/log.ts";
import { clientGone, InboundBudget } from "../inbound.ts";
import { type Wire, WireReader } from "../wire.ts";
import {
  controlFrame,
  type FrameHead,
  fin,
  frameType,
  goAwayStatus,
  headLength,
  initialWindowSize,
  parseHead,
  rstStatus,
  synStream,
} from "./frames.ts";
import { HeaderDecoder, HeaderEncoder, type SpdyHeaders } from "./headers.ts";
import { SpdyStream, type StreamHost } from "./stream.ts";
import { FlowControl } from "./window.ts";

/** Only header blocks are long, and a client's are some tens of bytes. */
const controlLimit = 16 * 1024;
/** Data is passed on in pieces of this size, however long its frame is. */
const pieceLimit = 64 * 1024;
/** Answers (to pings, to streams) that wait for a peer which sends and does not read. */
const answerLimit = 256 * 1024;

export interface SpdyOptions {
  readonly role: "server" | "client";
  /** Sees each stream the peer opens, after its reply; false refuses it. */
  readonly accept?: (stream: SpdyStream) => boolean;
  /** Streams open at once. */
  readonly maxStreams?: number;
}

/** A SPDY/3.1 connection (SPDY protocol draft 3.1), as far as Kubernetes' streaming uses it: no push, no priorities. */
export class SpdySession {
  readonly #wire: Wire;
  readonly #options: SpdyOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #opening = new Map<number, Deferred<void>>();
  readonly #decoder = new HeaderDecoder();
  readonly #encoder = new HeaderEncoder();
  readonly #flow = new FlowControl();
  readonly #budget = new InboundBudget(() => this.#probe());
  readonly #gone = new AbortController();
  readonly #host: StreamHost;
  #tail: Promise<boolean> = Promise.resolve(true);
  #answers = 0;
  #lastPeerStream = 0;
  #nextStream: number;
  #nextPing: number;
  /** No new streams: we have said good-bye. */
  #leaving = false;

  constructor(wire: Wire, options: SpdyOptions) {
    this.#wire = wire;
    this.#options = options;
    // The client's numbers are odd: section 2.3.2.
    this.#nextStream = options.role === "client" ? 1 : 2;
    this.#nextPing = this.#nextStream;
    this.#host = {
      budget: this.#budget,
      window: this.#flow.connection,
      initialWindow: this.#flow.initial,
      sendData: (frame) => this.#send(frame),
      sendReset: (stream, status) => this.#answer(controlFrame(frameType.rstStream, 0, [stream, status])),
      consumed: (stream, bytes) => this.#consumed(stream, bytes),
      forget: (stream) => this.#streams.delete(stream.id),
    };
    if (wire.signal.aborted) this.#over();
    else wire.signal.addEventListener("abort", () => this.#over(), { once: true });
  }

  /** Aborts when the peer is gone or the session has ended. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Reads until the connection is over. Never rejects: a peer that breaks the protocol is told so and left. */
  async run(): Promise<void> {
    const reader = new WireReader(async () => {
      const bytes = await this.#wire.read();
      // After our own end the wire throws away what comes.
      return this.signal.aborted ? undefined : bytes;
    });
    try {
      for (;;) {
        const bytes = await reader.exact(headLength);
        if (!bytes) break;
        const head = parseHead(bytes);
        if (head.kind === "data") {
          if (!(await this.#data(head, reader))) break;
        } else {
          if (head.version !== 3) throw invalid(`SPDY version ${head.version}`);
          if (head.length > controlLimit) throw invalid(`control frame of ${head.length} bytes`);
          const payload = await reader.exact(head.length);
          if (!payload || !this.#control(head.type, head.flags, payload)) break;
        }
        if (this.signal.aborted) break;
      }
      if (!this.signal.aborted) this.#wire.destroy();
    } catch (error) {
      log.debug("SPDY connection broken off", { error: messageOf(error) });
      this.#leave(goAwayStatus.protocolError);
      void this.#tail.then(() => this.#wire.end());
    } finally {
      this.#over();
    }
  }

  /** Opens a stream and waits until the peer has accepted it. */
  async open(headers: SpdyHeaders): Promise<SpdyStream> {
    if (this.#leaving || this.signal.aborted) throw clientGone();
    const id = this.#nextStream;
    this.#nextStream += 2;
    const stream = new SpdyStream({ ...this.#host, initialWindow: this.#flow.initial }, id, headers);
    const answered = deferred<void>();
    this.#streams.set(id, stream);
    this.#opening.set(id, answered);
    void this.#send(synStream(id, 0, this.#encoder.encode(headers)));
    try {
      await answered.promise;
    } finally {
      this.#opening.delete(id);
    }
    return stream;
  }

  /** Announces windows (SETTINGS, section 2.6.4). */
  announceWindow(size: number): void {
    this.#answer(controlFrame(frameType.settings, 0, [1, initialWindowSize, size]));
  }

  /** GOAWAY, what is written, and the end of the connection. */
  async end(): Promise<void> {
    this.#leave(goAwayStatus.ok);
    await this.#tail;
    this.#wire.end();
    this.#over();
  }

  destroy(): void {
    this.#wire.destroy();
    this.#over();
  }

  #leave(status: number): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#answer(controlFrame(frameType.goAway, 0, [this.#lastPeerStream, status]));
  }

  #over(): void {
    if (this.signal.aborted) return;
    const reason = clientGone();
    this.#gone.abort(reason);
    for (const stream of [...this.#streams.values()]) stream.broken(reason);
    for (const answered of this.#opening.values()) answered.reject(reason);
    this.#flow.connection.wake();
  }

  /** One frame after the other: the wire has one writer at a time. */
  #send(frame: Uint8Array): Promise<boolean> {
    this.#tail = this.#tail.then((alive) => alive && this.#wire.write(frame));
    return this.#tail;
  }

  /** A frame nobody waits for. */
  #answer(frame: Uint8Array): void {
    this.#answers += frame.length;
    if (this.#answers > answerLimit) {
      log.debug("SPDY peer does not read its answers");
      this.destroy();
      return;
    }
    void this.#send(frame).then(() => {
      this.#answers -= frame.length;
    });
  }

  #probe(): void {
    this.#answer(controlFrame(frameType.ping, 0, [this.#nextPing]));
    this.#nextPing = (this.#nextPing + 2) % 0x7ffffffe || 2;
  }

  #consumed(stream: SpdyStream, bytes: number): void {
    const credit = this.#flow.consumed(stream.owed, bytes);
    if (credit.stream > 0 && !stream.remoteEnd)
      this.#answer(controlFrame(frameType.windowUpdate, 0, [stream.id, credit.stream]));
    if (credit.connection > 0) this.#answer(controlFrame(frameType.windowUpdate, 0, [0, credit.connection]));
  }

  /** Passes a data frame on as it comes; false at the end of the connection. */
  async #data(head: FrameHead & { kind: "data" }, reader: WireReader): Promise<boolean> {
    const stream = this.#streams.get(head.stream);
    // A stream's last frames may cross our reset of it.
    if (!stream && !this.#wasOpen(head.stream))
      throw invalid(`data for stream ${head.stream}, which was not opened`);
    for (let left = head.length; left > 0; ) {
      const piece = await reader.some(Math.min(left, pieceLimit));
      if (!piece) return false;
      left -= piece.length;
      if (!stream) continue;
      stream.inbound.push(piece);
      await this.#budget.room(stream.inbound);
    }
    if (head.flags & fin) stream?.finished();
    return true;
  }

  #wasOpen(id: number): boolean {
    if (id === 0) return false;
    return this.#ofPeer(id) ? id <= this.#lastPeerStream : id < this.#nextStream;
  }

  #ofPeer(id: number): boolean {
    return id % 2 === (this.#options.role === "server" ? 1 : 0);
  }

  /** False when the peer has said good-bye and nothing is open. */
  #control(type: number, flags: number, payload: Uint8Array): boolean {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const numbers = (count: number) => {
      if (payload.length < count * 4) throw invalid(`control frame ${type} of ${payload.length} bytes`);
      return Array.from({ length: count }, (_, index) => view.getUint32(index * 4) & 0x7fffffff);
    };
    switch (type) {
      case frameType.synStream:
        this.#opened(numbers(2)[0]!, flags, payload.subarray(10));
        return true;
      case frameType.synReply:
        this.#replied(numbers(1)[0]!, flags, payload.subarray(4));
        return true;
      case frameType.rstStream: {
        const [id, status] = numbers(2);
        this.#reset(id!, status!);
        return true;
      }
      case frameType.settings:
        this.#settings(view, numbers(1)[0]!);
        return true;
      case frameType.ping: {
        const id = view.byteLength >= 4 ? view.getUint32(0) : 0;
        if (id === 0) throw invalid("ping without a number");
        if (this.#ofPeer(id)) this.#answer(controlFrame(frameType.ping, 0, [id]));
        return true;
      }
      case frameType.goAway:
        // The peer opens nothing more; what is open goes on until it closes the connection.
        this.#leaving = true;
        return this.#streams.size > 0;
      case frameType.headers: {
        // Nobody sends any, but the compression has state: each block must be read.
        const [id] = numbers(1);
        this.#decoder.decode(payload.subarray(4));
        if (flags & fin) this.#streams.get(id!)?.finished();
        return true;
      }
      case frameType.windowUpdate: {
        const [id, bytes] = numbers(2);
        this.#credited(id!, bytes!);
        return true;
      }
      default:
        // Section 2.2.1: a receiver ignores frames it does not know.
        return true;
    }
  }

  #opened(id: number, flags: number, block: Uint8Array): void {
    const headers = this.#decoder.decode(block);
    if (!this.#ofPeer(id) || id <= this.#lastPeerStream) throw invalid(`stream number ${id} out of order`);
    this.#lastPeerStream = id;
    const stream = new SpdyStream({ ...this.#host, initialWindow: this.#flow.initial }, id, headers);
    const full = this.#streams.size >= (this.#options.maxStreams ?? 100);
    let accepted = false;
    if (!this.#leaving && !full) {
      this.#streams.set(id, stream);
      if (flags & fin) stream.finished();
      accepted = this.#options.accept?.(stream) === true;
      if (!accepted) this.#streams.delete(id);
    }
    // Nothing that `accept` has set going writes before this: it has not had a turn yet.
    if (accepted) this.#answer(controlFrame(frameType.synReply, 0, [id], this.#encoder.encode(new Map())));
    else this.#answer(controlFrame(frameType.rstStream, 0, [id, rstStatus.refusedStream]));
  }

  #replied(id: number, flags: number, block: Uint8Array): void {
    this.#decoder.decode(block);
    this.#opening.get(id)?.resolve();
    if (flags & fin) this.#streams.get(id)?.finished();
  }

  #reset(id: number, status: number): void {
    const error = new CortenError("canceled", `the peer reset stream ${id} (status ${status})`);
    this.#opening.get(id)?.reject(error);
    this.#streams.get(id)?.broken(error);
  }

  #settings(view: DataView, count: number): void {
    if (view.byteLength < 4 + count * 8)
      throw invalid(`settings frame of ${view.byteLength} bytes for ${count} entries`);
    for (let index = 0; index < count; index++) {
      const id = view.getUint32(4 + index * 8) & 0xffffff;
      if (id !== initialWindowSize) continue;
      const size = view.getUint32(8 + index * 8);
      if (size > 0x7fffffff) throw invalid(`initial window of ${size} bytes`);
      const change = this.#flow.announce(size);
      for (const stream of this.#streams.values())
        if (change === "first") stream.window.set(size);
        else stream.window.add(change);
    }
  }

  #credited(id: number, bytes: number): void {
    if (!this.#flow.on) return;
    if (id === 0) {
      if (!this.#flow.connection.add(bytes)) throw invalid("window update beyond 2^31");
      return;
    }
    const stream = this.#streams.get(id);
    if (stream && !stream.window.add(bytes)) stream.reset(rstStatus.flowControlError);
  }
}
