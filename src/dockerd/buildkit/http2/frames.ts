/** HTTP/2's frames (RFC 9113, sections 4 and 6). */
import { CortenError } from "../../../base/errors.ts";

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

export const setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
} as const;

export const errorCode = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  refused: 7,
  cancel: 8,
} as const;

/** What a client sends first. */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

const headLength = 9;

export function encodeFrame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headLength + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.writeUInt32BE(stream, 5);
  frame.set(payload, headLength);
  return frame;
}

export function encodeSettings(values: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(values.length * 6);
  for (const [index, [id, value]] of values.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return encodeFrame(frameType.settings, 0, 0, payload);
}

export function number32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Cuts what comes in into frames of at most `limit` bytes. */
export class FrameReader {
  readonly #limit: number;
  #rest: Buffer = Buffer.alloc(0);
  /** Pieces of a frame that is not complete, and how many bytes it needs. */
  #pieces: Buffer[] = [];
  #held = 0;
  #needed = headLength;

  constructor(limit: number) {
    this.#limit = limit;
  }

  *push(bytes: Uint8Array): Generator<Frame> {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#pieces.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#needed) return;
    this.#rest = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces);
    let at = 0;
    for (;;) {
      this.#needed = headLength;
      if (this.#rest.length - at < headLength) break;
      const length = this.#rest.readUIntBE(at, 3);
      if (length > this.#limit)
        throw new CortenError("resource_exhausted", `HTTP/2: a frame of ${length} bytes is too large`);
      this.#needed = headLength + length;
      if (this.#rest.length - at < this.#needed) break;
      const payload = this.#rest.subarray(at + headLength, at + this.#needed);
      yield {
        type: this.#rest[at + 3]!,
        flags: this.#rest[at + 4]!,
        stream: this.#rest.readUInt32BE(at + 5) & 0x7fffffff,
        payload,
      };
      at += this.#needed;
    }
    const rest = this.#rest.subarray(at);
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#held = rest.length;
  }
}
