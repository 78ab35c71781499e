/** Header fields as HTTP/2 writes them (HPACK, RFC 7541). */
import { CortenError, invalid } from "../../../base/errors.ts";
import { decodeHuffman } from "./huffman.ts";

export type Field = readonly [name: string, value: string];

/** Appendix A. */
const staticTable: readonly Field[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** What we let the peer's encoder keep; the default, so nothing has to be agreed upon. */
const tableLimit = 4096;
/** Decoded bytes of one block. */
const blockLimit = 4 << 20;

const sizeOf = ([name, value]: Field): number => name.length + value.length + 32;

/** Decodes the blocks of one connection, in their order. */
export class HeaderDecoder {
  /** Newest first. */
  readonly #table: Field[] = [];
  #size = 0;
  #limit = tableLimit;

  decode(block: Uint8Array): Field[] {
    const fields: Field[] = [];
    let total = 0;
    let at = 0;
    const integer = (bits: number): number => {
      const mask = (1 << bits) - 1;
      let value = block[at++]! & mask;
      if (value < mask) return value;
      for (let shift = 0; ; shift += 7) {
        const byte = block[at++];
        if (byte === undefined || shift > 21) throw invalid("malformed number in a header block");
        value += (byte & 0x7f) << shift;
        if ((byte & 0x80) === 0) return value;
      }
    };
    const text = (): string => {
      const first = block[at];
      if (first === undefined) throw invalid("a header block is cut short");
      const length = integer(7);
      if (at + length > block.length) throw invalid("a header block is cut short");
      const bytes = block.subarray(at, at + length);
      at += length;
      const plain = (first & 0x80) !== 0 ? decodeHuffman(bytes) : Buffer.from(bytes);
      return plain.toString("latin1");
    };
    const literal = (bits: number): Field => {
      const index = integer(bits);
      const name = index === 0 ? text() : this.#field(index)[0];
      return [name, text()];
    };
    while (at < block.length) {
      const byte = block[at]!;
      let field: Field;
      if ((byte & 0x80) !== 0) field = this.#field(integer(7));
      else if ((byte & 0x40) !== 0) {
        field = literal(6);
        this.#add(field);
      } else if ((byte & 0x20) !== 0) {
        const limit = integer(5);
        if (limit > tableLimit) throw invalid("the peer's header table is larger than agreed");
        this.#limit = limit;
        this.#evict();
        continue;
      } else field = literal(4);
      total += sizeOf(field);
      if (total > blockLimit) throw new CortenError("resource_exhausted", "headers are too large");
      fields.push(field);
    }
    return fields;
  }

  #field(index: number): Field {
    const field =
      index <= staticTable.length ? staticTable[index - 1] : this.#table[index - staticTable.length - 1];
    if (!field) throw invalid(`header table has no entry ${index}`);
    return field;
  }

  #add(field: Field): void {
    this.#table.unshift(field);
    this.#size += sizeOf(field);
    this.#evict();
  }

  #evict(): void {
    while (this.#size > this.#limit) {
      const field = this.#table.pop();
      if (!field) return;
      this.#size -= sizeOf(field);
    }
  }
}

/** A block that needs no memory of earlier ones: literals without indexing, known names by number. */
export function encodeHeaders(fields: readonly Field[]): Buffer {
  const parts: Buffer[] = [];
  const integer = (first: number, bits: number, value: number): void => {
    const mask = (1 << bits) - 1;
    if (value < mask) {
      parts.push(Buffer.from([first | value]));
      return;
    }
    const bytes = [first | mask];
    let rest = value - mask;
    while (rest >= 0x80) {
      bytes.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    bytes.push(rest);
    parts.push(Buffer.from(bytes));
  };
  const text = (value: string): void => {
    const bytes = Buffer.from(value, "latin1");
    integer(0, 7, bytes.length);
    parts.push(bytes);
  };
  for (const [name, value] of fields) {
    const whole = staticTable.findIndex((one) => one[0] === name && one[1] === value && value !== "");
    if (whole >= 0) {
      integer(0x80, 7, whole + 1);
      continue;
    }
    const known = staticTable.findIndex((one) => one[0] === name);
    integer(0, 4, known + 1);
    if (known < 0) text(name);
    text(value);
  }
  return Buffer.concat(parts);
}
