import { CortenError, messageOf } from "../../../base/errors.ts";
import { log } from "../../../base/log.ts";
import { type Wire, WireReader } from "../wire.ts";
import { closeCode, encodeFrame, opcode, unmask } from "./frames.ts";

/** Payload is passed on in pieces of this size, however long its frame is. */
const pieceLimit = 64 * 1024;
/** Answers to pings that wait for a peer which sends and does not read. */
const answerLimit = 64 * 1024;

/** A part of a message, in order. A message has at least one, which may be empty. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly text: boolean;
  /** The first of its message. */
  readonly first: boolean;
  readonly last: boolean;
}

class WebSocketError extends CortenError {
  readonly closeCode: number;
  constructor(code: number, message: string) {
    super("invalid_argument", message);
    this.closeCode = code;
  }
}

export const badMessage = (message: string) => new WebSocketError(closeCode.invalidData, message);

/** The server's end of a WebSocket (RFC 6455) after its handshake, without extensions. */
export class WebSocketConnection {
  readonly #wire: Wire;
  #tail: Promise<boolean> = Promise.resolve(true);
  #answers = 0;
  #closing = false;
  #ended = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  get signal(): AbortSignal {
    return this.#wire.signal;
  }

  /** Gives every message in pieces, waiting for each to be taken, until the peer closes or breaks the protocol. Never rejects. */
  async run(take: (piece: Piece) => Promise<void>): Promise<void> {
    const reader = new WireReader(async () => {
      const bytes = await this.#wire.read();
      // After our own end the wire throws away what comes.
      return this.#ended ? undefined : bytes;
    });
    try {
      let message: { text: boolean } | undefined;
      for (;;) {
        const head = await readHead(reader);
        if (!head) break;
        if (head.code >= 8) {
          if (!(await this.#control(head, reader))) break;
          continue;
        }
        if ((head.code === opcode.continuation) !== (message !== undefined))
          throw new WebSocketError(closeCode.protocolError, "message parts out of order");
        const first = message === undefined;
        message ??= { text: head.code === opcode.text };
        if (!(await payload(reader, head, { ...message, first }, take))) break;
        if (head.final) message = undefined;
      }
      this.#end();
    } catch (error) {
      log.debug("WebSocket broken off", { error: messageOf(error) });
      this.close(error instanceof WebSocketError ? error.closeCode : closeCode.protocolError);
    }
  }

  /** A message of its own; waits while the peer is slow, false when it is gone. */
  send(text: boolean, ...parts: Uint8Array[]): Promise<boolean> {
    return this.#send(encodeFrame(text ? opcode.text : opcode.binary, ...parts));
  }

  /** Sends a close frame after all that was sent, and ends. */
  close(code: number = closeCode.normal): void {
    this.#goodbye(Buffer.from([code >> 8, code & 0xff]));
    void this.#tail.then(() => this.#end());
  }

  destroy(): void {
    this.#wire.destroy();
  }

  probe(): void {
    this.#answer(encodeFrame(opcode.ping));
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#wire.end();
  }

  #goodbye(payload: Uint8Array): void {
    if (this.#closing) return;
    this.#answer(encodeFrame(opcode.close, payload));
    this.#closing = true;
  }

  #send(frame: Uint8Array): Promise<boolean> {
    if (this.#closing) return Promise.resolve(false);
    this.#tail = this.#tail.then((alive) => alive && this.#wire.write(frame));
    return this.#tail;
  }

  #answer(frame: Uint8Array): void {
    this.#answers += frame.length;
    if (this.#answers > answerLimit) {
      log.debug("WebSocket peer does not read its answers");
      this.destroy();
      return;
    }
    this.#tail = this.#tail.then((alive) => alive && this.#wire.write(frame));
    void this.#tail.then(() => {
      this.#answers -= frame.length;
    });
  }

  /** Section 5.5. False after a close frame, which is answered by its like. */
  async #control(head: Head, reader: WireReader): Promise<boolean> {
    if (!head.final || head.length > 125)
      throw new WebSocketError(closeCode.protocolError, "control frame in parts or too long");
    const masked = await reader.exact(head.length);
    if (!masked) return false;
    const bytes = unmask(masked, head.key, 0);
    if (head.code === opcode.ping) this.#answer(encodeFrame(opcode.pong, bytes));
    if (head.code !== opcode.close) return true;
    this.#goodbye(bytes.subarray(0, 2));
    await this.#tail;
    return false;
  }
}

interface Head {
  readonly final: boolean;
  readonly code: number;
  readonly length: number;
  readonly key: Uint8Array;
}

async function readHead(reader: WireReader): Promise<Head | undefined> {
  const start = await reader.exact(2);
  if (!start) return undefined;
  const [first, second] = [start[0]!, start[1]!];
  if (first & 0x70) throw new WebSocketError(closeCode.protocolError, "reserved bits are set");
  const code = first & 0x0f;
  if (code > opcode.pong || (code > opcode.binary && code < opcode.close))
    throw new WebSocketError(closeCode.protocolError, `unknown opcode ${code}`);
  if (!(second & 0x80)) throw new WebSocketError(closeCode.protocolError, "a client's frame is not masked");
  const short = second & 0x7f;
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
  const rest = await reader.exact(extra + 4);
  if (!rest) return undefined;
  const view = Buffer.from(rest.buffer, rest.byteOffset, rest.byteLength);
  const length = extra === 0 ? short : extra === 2 ? view.readUInt16BE(0) : Number(view.readBigUInt64BE(0));
  if (length > Number.MAX_SAFE_INTEGER) throw new WebSocketError(closeCode.tooBig, "frame too long");
  return { final: (first & 0x80) !== 0, code, length, key: rest.slice(extra) };
}

async function payload(
  reader: WireReader,
  head: Head,
  message: { text: boolean; first: boolean },
  take: (piece: Piece) => Promise<void>,
): Promise<boolean> {
  let done = 0;
  do {
    const masked =
      head.length === 0 ? new Uint8Array(0) : await reader.some(Math.min(pieceLimit, head.length - done));
    if (!masked) return false;
    const bytes = unmask(masked, head.key, done);
    const first = message.first && done === 0;
    done += bytes.length;
    await take({ bytes, text: message.text, first, last: head.final && done === head.length });
  } while (done < head.length);
  return true;
}
