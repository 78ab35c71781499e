/** Frames of RFC 6455 section 5.2. */
export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export const closeCode = { normal: 1000, protocolError: 1002, invalidData: 1007, tooBig: 1009 } as const;

/** A server's frame: never masked, never in parts. */
export function encodeFrame(code: number, ...parts: Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const extra = length < 126 ? 0 : length < 0x10000 ? 2 : 8;
  const frame = Buffer.allocUnsafe(2 + extra + length);
  frame[0] = 0x80 | code;
  frame[1] = extra === 0 ? length : extra === 2 ? 126 : 127;
  if (extra === 2) frame.writeUInt16BE(length, 2);
  if (extra === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  let at = 2 + extra;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/** Takes a client's mask off (section 5.3); `position` is where in the frame's payload `bytes` begin. */
export function unmask(bytes: Uint8Array, key: Uint8Array, position: number): Uint8Array {
  const plain = new Uint8Array(bytes.length);
  const rotated = [0, 1, 2, 3].map((index) => key[(position + index) & 3]!);
  const words = bytes.length >>> 2;
  if (bytes.byteOffset % 4 === 0) {
    // Four bytes at a time, in the machine's own order.
    const mask = new Uint32Array(Uint8Array.from(rotated).buffer)[0]!;
    const from = new Uint32Array(bytes.buffer, bytes.byteOffset, words);
    const to = new Uint32Array(plain.buffer, 0, words);
    for (let index = 0; index < words; index++) to[index] = from[index]! ^ mask;
    for (let index = words * 4; index < bytes.length; index++)
      plain[index] = bytes[index]! ^ rotated[index & 3]!;
  } else {
    for (let index = 0; index < bytes.length; index++) plain[index] = bytes[index]! ^ rotated[index & 3]!;
  }
  return plain;
}
