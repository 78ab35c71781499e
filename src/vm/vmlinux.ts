/**
 * The kernel proper out of a bzImage (kernel: Documentation/arch/x86/boot.rst). A guest unpacks it at every start; emulated,
 * that is a sixth of the start. Here it is done once. What is packed in a way not known here, or is no bzImage, is used as it is.
 */

const setupSectors = 0x1f1;
const headerMagic = 0x202;
const payloadOffset = 0x248;
const payloadLength = 0x24c;
/** Debian's is 51 MiB. */
const largest = 512 << 20;

export function unpackKernel(image: Uint8Array): Uint8Array {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  if (bytes.length < 0x250 || bytes.toString("latin1", headerMagic, headerMagic + 4) !== "HdrS") return image;
  const start = ((bytes[setupSectors] || 4) + 1) * 512 + bytes.readUInt32LE(payloadOffset);
  const payload = bytes.subarray(start, start + bytes.readUInt32LE(payloadLength));
  try {
    const unpacked = unpack(payload);
    // PVH, the way in that needs no real mode, is by an ELF file.
    if (unpacked && Buffer.from(unpacked.subarray(0, 4)).toString("latin1") === "\x7fELF") return unpacked;
  } catch {
    // The kernel can unpack itself.
  }
  return image;
}

function unpack(payload: Buffer): Uint8Array | undefined {
  if (payload.length < 8) return undefined;
  const magic = payload.readUInt32BE(0);
  // Its length follows the payload, which is none of the format's business.
  if (magic === 0x02214c18) return unpackLz4(payload.subarray(4), payload.readUInt32LE(payload.length - 4));
  if (magic === 0x28b52ffd) return Bun.zstdDecompressSync(new Uint8Array(payload.subarray(0, -4)));
  if (magic >>> 16 === 0x1f8b) return Bun.gunzipSync(new Uint8Array(payload.subarray(0, -4)));
  return undefined;
}

/** LZ4's legacy frame: blocks of their own, each with its length before it. */
export function unpackLz4(input: Buffer, size: number): Uint8Array {
  if (size > largest) throw new RangeError("a kernel of this size is none");
  const out = new Uint8Array(size);
  let to = 0;
  let at = 0;
  while (to < size) {
    const end = at + 4 + input.readUInt32LE(at);
    at += 4;
    if (end > input.length) throw new RangeError("a block goes beyond the end");
    to = unpackBlock(input, at, end, out, to);
    at = end;
  }
  return out;
}

function unpackBlock(input: Buffer, from: number, end: number, out: Uint8Array, start: number): number {
  let at = from;
  let to = start;
  const more = (length: number): number => {
    let sum = length;
    if (length === 15)
      for (let byte = 255; byte === 255; sum += byte) {
        if (at >= end) throw new RangeError("a block ends within a length");
        byte = input[at++]!;
      }
    return sum;
  };
  while (at < end) {
    const token = input[at++]!;
    const literals = more(token >> 4);
    if (at + literals > end || to + literals > out.length) throw new RangeError("literals go beyond the end");
    out.set(input.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= end) break;
    const source = to - input.readUInt16LE(at);
    at += 2;
    const length = more(token & 15) + 4;
    if (source < start || to + length > out.length) throw new RangeError("a match goes beyond the ends");
    for (let index = 0; index < length; index++) out[to + index] = out[source + index]!;
    to += length;
  }
  return to;
}
