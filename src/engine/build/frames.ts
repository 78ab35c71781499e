/** Frames of a connection taken over by `POST /corten/build`: type, channel, length (32 bits, big endian), payload. */

export const frameType = {
  /** Daemon: a BuildStatus. */
  status: 1,
  /** Daemon: bytes of the output whose number is the channel. */
  output: 2,
  /** Daemon: a BuildDone; nothing follows. */
  done: 3,
  /** Daemon: a BuildFailed; nothing follows. */
  failed: 4,
  /** Daemon: the content of the context whose number is the channel is wanted, as a tar. */
  want: 5,
  /** Client: bytes of a context; an empty frame ends it. */
  context: 6,
  /** Daemon: all bytes of an output were sent. */
  outputEnd: 7,
} as const;

export interface Frame {
  type: number;
  channel: number;
  payload: Uint8Array;
}

/** No frame is larger; senders cut what is. */
export const framePayloadLimit = 1 << 20;

const headerSize = 6;

export function encodeFrame(type: number, channel: number, payload: Uint8Array | string): Uint8Array {
  const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
  if (bytes.length > framePayloadLimit * 16) throw new RangeError("frame too large");
  const out = Buffer.allocUnsafe(headerSize + bytes.length);
  out[0] = type;
  out[1] = channel;
  out.writeUInt32BE(bytes.length, 2);
  out.set(bytes, headerSize);
  return out;
}

/** Takes a stream of bytes apart; push() gives the frames that are complete. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array(0);

  push(bytes: Uint8Array): Frame[] {
    let data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const frames: Frame[] = [];
    while (data.length >= headerSize) {
      const length = new DataView(data.buffer, data.byteOffset).getUint32(2);
      if (length > framePayloadLimit * 16) throw new RangeError(`frame of ${length} bytes is too large`);
      if (data.length < headerSize + length) break;
      frames.push({
        type: data[0]!,
        channel: data[1]!,
        payload: data.subarray(headerSize, headerSize + length),
      });
      data = data.subarray(headerSize + length);
    }
    // A copy: the rest must not keep the whole chunk alive.
    this.#rest = data.slice();
    return frames;
  }
}
