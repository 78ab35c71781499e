import { clientGone, Inbound, InboundBudget } from "../inbound.ts";
import type { IdleTimer } from "../wire.ts";
import { badMessage, type Piece, type WebSocketConnection } from "./connection.ts";

/** In v5, a message of this byte and a channel's number is the channel's half-close. */
const closeSignal = 255;
const zero = "0".charCodeAt(0);
const largestMessage = 64 * 1024;

export interface ChannelProtocol {
  /** Messages are text: the channel as a digit, then base64. */
  readonly base64: boolean;
  readonly closeSignal: boolean;
}

/** Kubernetes' channels: the first byte of each message is the number of the channel it belongs to. */
export class Channels {
  readonly #socket: WebSocketConnection;
  readonly #protocol: ChannelProtocol;
  readonly #timer: IdleTimer;
  readonly #inbound = new Map<number, Inbound>();
  readonly #budget: InboundBudget;
  /** Where the message under way goes; undefined before its first byte. */
  #current: { channel: number; inbound: Inbound | undefined } | undefined;
  /** Characters of base64 that wait for the rest of their four. */
  #carry = "";
  readonly #gone = new AbortController();

  constructor(socket: WebSocketConnection, protocol: ChannelProtocol, timer: IdleTimer) {
    this.#socket = socket;
    this.#protocol = protocol;
    this.#timer = timer;
    this.#budget = new InboundBudget(() => socket.probe());
    socket.signal.addEventListener("abort", () => this.#over(), { once: true });
  }

  /** Aborts when the client has closed or is gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** A channel the client writes to. What comes on others is ignored, as kubelet does. */
  readable(channel: number): Inbound {
    const inbound = new Inbound(this.#budget);
    this.#inbound.set(channel, inbound);
    return inbound;
  }

  /** Distributes messages until the connection is over. */
  async run(): Promise<void> {
    await this.#socket.run((piece) => this.#take(piece));
    this.#over();
  }

  /** Writes to a channel; an empty message is sent as such. */
  async write(channel: number, bytes: Uint8Array): Promise<void> {
    let at = 0;
    do {
      const part = bytes.subarray(at, at + largestMessage);
      const sent = this.#protocol.base64
        ? this.#socket.send(true, Buffer.from(`${String.fromCharCode(zero + channel)}${base64(part)}`))
        : this.#socket.send(false, Uint8Array.of(channel), part);
      if (!(await sent)) throw clientGone();
      this.#timer.touch();
      at += part.length;
    } while (at < bytes.length);
  }

  close(): void {
    this.#socket.close();
  }

  #over(): void {
    this.#gone.abort(clientGone());
    for (const inbound of this.#inbound.values()) inbound.fail(clientGone());
  }

  async #take(piece: Piece): Promise<void> {
    this.#timer.touch();
    let { bytes } = piece;
    if (piece.first) this.#current = undefined;
    if (!this.#current) {
      if (bytes.length === 0) return;
      const channel = this.#protocol.base64 ? bytes[0]! - zero : bytes[0]!;
      this.#current = { channel, inbound: this.#inbound.get(channel) };
      this.#carry = "";
      bytes = bytes.subarray(1);
    }
    const { channel, inbound } = this.#current;
    if (this.#protocol.closeSignal && channel === closeSignal) return this.#close(bytes);
    if (!inbound) return;
    inbound.push(this.#protocol.base64 ? this.#decode(bytes, piece.last) : bytes);
    await this.#budget.room(inbound);
  }

  async #close(bytes: Uint8Array): Promise<void> {
    if (bytes.length > 1) throw badMessage("the close signal names one channel");
    if (bytes.length === 1) this.#inbound.get(bytes[0]!)?.end();
  }

  #decode(bytes: Uint8Array, last: boolean): Uint8Array {
    const text = this.#carry + Buffer.from(bytes).toString("latin1");
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw badMessage("message is not base64");
    const whole = last ? text.length : text.length - (text.length % 4);
    this.#carry = text.slice(whole);
    return Buffer.from(text.slice(0, whole), "base64");
  }
}

const base64 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
