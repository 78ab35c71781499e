/**
 * Frames of ttrpc (containerd/ttrpc, PROTOCOL.md, "Message Frame"): ten bytes of header, big endian: the payload's
 * length, the stream, the type of the message and its flags.
 */
export const frameTypes = { request: 1, response: 2, data: 3 } as const;

export const frameFlags = { remoteClosed: 1, remoteOpen: 2, noData: 4 } as const;

export const headerBytes = 10;

/** A payload that is larger is refused by every implementation. */
export const messageLimit = 4 << 20;

export interface Frame {
  stream: number;
  type: number;
  flags: number;
  payload: Uint8Array;
  /** Set when the announced length was over the limit: the bytes were skipped and the payload is empty. */
  oversized?: number;
}

/** The bytes of a frame; the caller has checked the payload's length. */
export function encodeFrame(stream: number, type: number, flags: number, payload?: Uint8Array): Uint8Array {
  const length = payload?.length ?? 0;
  const bytes = new Uint8Array(headerBytes + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  view.setUint32(4, stream);
  bytes[8] = type;
  bytes[9] = flags;
  if (payload) bytes.set(payload, headerBytes);
  return bytes;
}

/** Cuts a byte stream into frames. Holds at most one frame's payload, and of an oversized one nothing. */
export class FrameReader {
  readonly #header = new Uint8Array(headerBytes);
  readonly #view = new DataView(this.#header.buffer);
  #filled = 0;
  #parts: Uint8Array[] = [];
  #missing = 0;
  readonly #emit: (frame: Frame) => void;

  constructor(emit: (frame: Frame) => void) {
    this.#emit = emit;
  }

  /** Takes the next bytes, which may be reused by the caller afterwards. */
  push(data: Uint8Array): void {
    let at = 0;
    for (;;) {
      if (this.#filled < headerBytes) {
        const part = data.subarray(at, at + headerBytes - this.#filled);
        this.#header.set(part, this.#filled);
        this.#filled += part.length;
        at += part.length;
        if (this.#filled < headerBytes) return;
        this.#missing = this.#view.getUint32(0);
      }
      const length = this.#view.getUint32(0);
      const taken = Math.min(this.#missing, data.length - at);
      if (taken > 0 && length <= messageLimit)
        this.#parts.push(new Uint8Array(data.subarray(at, at + taken)));
      this.#missing -= taken;
      at += taken;
      if (this.#missing > 0) return;
      const parts = this.#parts;
      this.#parts = [];
      this.#filled = 0;
      this.#emit({
        stream: this.#view.getUint32(4),
        type: this.#header[8]!,
        flags: this.#header[9]!,
        payload: parts.length === 1 ? parts[0]! : Buffer.concat(parts),
        ...(length > messageLimit ? { oversized: length } : {}),
      });
    }
  }
}
