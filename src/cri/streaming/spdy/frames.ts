/** Frames of SPDY/3.1: an 8-byte head, then what it says. SPDY protocol draft 3.1, section 2.2. */
export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const fin = 1;

export const rstStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
} as const;

export const goAwayStatus = { ok: 0, protocolError: 1, internalError: 2 } as const;

/** The settings id for the window each stream begins with: section 2.6.4. */
export const initialWindowSize = 7;

export type FrameHead =
  | { readonly kind: "data"; readonly stream: number; readonly flags: number; readonly length: number }
  | {
      readonly kind: "control";
      readonly version: number;
      readonly type: number;
      readonly flags: number;
      readonly length: number;
    };

export const headLength = 8;

export function parseHead(bytes: Uint8Array): FrameHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headLength);
  const first = view.getUint32(0);
  const second = view.getUint32(4);
  const flags = second >>> 24;
  const length = second & 0xffffff;
  if (first < 0x80000000) return { kind: "data", stream: first, flags, length };
  return { kind: "control", version: (first >>> 16) & 0x7fff, type: first & 0xffff, flags, length };
}

export function dataFrame(stream: number, flags: number, data: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headLength + data.length);
  frame.writeUInt32BE(stream, 0);
  frame.writeUInt32BE(flags * 0x1000000 + data.length, 4);
  frame.set(data, headLength);
  return frame;
}

/** A control frame whose payload is 32-bit numbers and, after them, a header block. */
export function controlFrame(
  type: number,
  flags: number,
  numbers: readonly number[],
  block: Uint8Array = new Uint8Array(0),
): Buffer {
  const length = numbers.length * 4 + block.length;
  const frame = Buffer.allocUnsafe(headLength + length);
  frame.writeUInt32BE(0x80030000 + type, 0);
  frame.writeUInt32BE(flags * 0x1000000 + length, 4);
  numbers.forEach((number, index) => {
    frame.writeUInt32BE(number, headLength + index * 4);
  });
  frame.set(block, headLength + numbers.length * 4);
  return frame;
}

/** SYN_STREAM: section 2.6.1. */
export function synStream(stream: number, flags: number, block: Uint8Array): Buffer {
  // The associated stream, priority and slot are all zero.
  const rest = Buffer.alloc(6 + block.length);
  rest.set(block, 6);
  return controlFrame(frameType.synStream, flags, [stream], rest);
}
