/** The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B). */
import { invalid } from "../../../base/errors.ts";

/**
 * Bits of each byte's code; the codes follow from them, because among codes of one length those of smaller bytes are
 * smaller, and longer codes follow on shorter ones.
 */
const lengths =
  "13,23,28,28,28,28,28,28,28,24,30,28,28,30,28,28,28,28,28,28,28,28,30,28,28,28,28,28,28,28,28,28," +
  "6,10,10,12,13,6,8,11,10,10,8,11,8,6,6,6,5,5,5,6,6,6,6,6,6,6,7,8,15,6,12,10," +
  "13,6,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,8,7,8,13,19,13,14,6," +
  "15,5,6,5,6,5,6,6,6,5,7,7,6,6,6,5,6,7,6,5,5,6,7,7,7,7,7,15,11,14,13,28," +
  "20,22,20,20,22,22,22,23,22,23,23,23,23,23,24,23,24,24,22,23,24,23,23,23,23,21,22,23,22,23,23,24," +
  "22,21,20,22,22,23,23,21,23,22,22,24,21,22,23,23,21,21,22,21,23,22,23,23,20,22,22,22,23,22,22,23," +
  "26,26,20,19,22,23,22,25,26,26,26,27,27,26,24,25,19,21,26,27,27,26,27,24,21,21,26,26,28,27,27,27," +
  "20,24,20,21,22,21,21,23,22,22,25,25,24,24,26,23,26,27,26,26,27,27,27,27,27,28,27,27,27,27,27,26";

const longest = 30;

interface Code {
  /** First code of each length, and the bytes that have that length, in order. */
  first: Int32Array;
  bytes: Uint8Array[];
}

let code: Code | undefined;

function makeCode(): Code {
  const first = new Int32Array(longest + 1);
  const bytes: Uint8Array[] = [];
  const all = lengths.split(",").map(Number);
  let next = 0;
  for (let length = 1; length <= longest; length++) {
    next <<= 1;
    const these = all.flatMap((one, byte) => (one === length ? [byte] : []));
    first[length] = next;
    bytes[length] = Uint8Array.from(these);
    next += these.length;
  }
  return { first, bytes };
}

/** What was encoded; at most 7 bits of ones are left over. */
export function decodeHuffman(data: Uint8Array): Buffer {
  code ??= makeCode();
  const { first, bytes } = code;
  // The shortest code has five bits.
  const out = Buffer.allocUnsafe(Math.ceil((data.length * 8) / 5));
  let size = 0;
  let value = 0;
  let length = 0;
  for (const byte of data) {
    for (let bit = 7; bit >= 0; bit--) {
      value = (value << 1) | ((byte >> bit) & 1);
      length++;
      const offset = value - first[length]!;
      const these = bytes[length]!;
      if (offset < these.length && offset >= 0) {
        out[size++] = these[offset]!;
        value = 0;
        length = 0;
      } else if (length >= longest) throw invalid("malformed Huffman code in a header");
    }
  }
  if (length > 7 || value !== (1 << length) - 1) throw invalid("malformed end of a Huffman code in a header");
  return out.subarray(0, size);
}
