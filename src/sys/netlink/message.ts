/** Netlink messages and attributes as bytes (RFC 3549; kernel: include/uapi/linux/netlink.h). */

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_EXCL = 0x200;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_DUMP = 0x300;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const HEADER_LENGTH = 16;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** One message to send: `what` names it in errors, `body` writes what follows the header. */
export interface NetlinkRequest {
  type: number;
  flags: number;
  what: string;
  body(out: MessageWriter): void;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const align = (length: number) => (length + 3) & ~3;

/**
 * A growing buffer of messages. Integers are in host order (little-endian on every platform we build for)
 * unless the name says `Be`: nf_tables carries its numbers in network order.
 */
export class MessageWriter {
  #bytes = new Uint8Array(2048);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Call it before naming `#bytes` or `#view`, which it may replace. */
  #reserve(count: number): number {
    const start = this.#length;
    const end = start + count;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = end;
    return start;
  }

  u8(value: number): void {
    const start = this.#reserve(1);
    this.#view.setUint8(start, value);
  }
  u16(value: number): void {
    const start = this.#reserve(2);
    this.#view.setUint16(start, value, true);
  }
  u16be(value: number): void {
    const start = this.#reserve(2);
    this.#view.setUint16(start, value, false);
  }
  u32(value: number): void {
    const start = this.#reserve(4);
    this.#view.setUint32(start, value, true);
  }
  raw(value: Uint8Array): void {
    const start = this.#reserve(value.length);
    this.#bytes.set(value, start);
  }
  #pad(): void {
    // A reserved byte is zero: the buffer never shrinks below what was written.
    this.#reserve(align(this.#length) - this.#length);
  }

  /** A whole message; its length is filled in when `body` is done. */
  message(request: NetlinkRequest, sequence: number): void {
    const start = this.#reserve(HEADER_LENGTH);
    request.body(this);
    this.#pad();
    this.#view.setUint32(start, this.#length - start, true);
    this.#view.setUint16(start + 4, request.type, true);
    this.#view.setUint16(start + 6, request.flags, true);
    this.#view.setUint32(start + 8, sequence, true);
  }

  attribute(type: number, value: Uint8Array): void {
    const start = this.#reserve(4);
    this.#view.setUint16(start, 4 + value.length, true);
    this.#view.setUint16(start + 2, type, true);
    this.raw(value);
    this.#pad();
  }

  /** NUL-terminated, as the kernel's NLA_STRING accepts and its tools send. */
  attributeString(type: number, value: string): void {
    this.attribute(type, encoder.encode(`${value}\0`));
  }
  attributeU8(type: number, value: number): void {
    this.attribute(type, Uint8Array.of(value));
  }
  attributeU16(type: number, value: number): void {
    const start = this.#reserve(8);
    this.#view.setUint16(start, 6, true);
    this.#view.setUint16(start + 2, type, true);
    this.#view.setUint16(start + 4, value, true);
  }
  attributeU32(type: number, value: number): void {
    this.#attribute32(type, value, true);
  }
  attributeBe32(type: number, value: number): void {
    this.#attribute32(type, value, false);
  }
  #attribute32(type: number, value: number, littleEndian: boolean): void {
    const start = this.#reserve(8);
    this.#view.setUint16(start, 8, true);
    this.#view.setUint16(start + 2, type, true);
    this.#view.setUint32(start + 4, value >>> 0, littleEndian);
  }
  attributeBe64(type: number, value: bigint): void {
    const start = this.#reserve(12);
    this.#view.setUint16(start, 12, true);
    this.#view.setUint16(start + 2, type, true);
    this.#view.setBigUint64(start + 4, value, false);
  }

  nest(type: number, body: () => void): void {
    const start = this.#reserve(4);
    body();
    if (this.#length - start > 0xffff) throw new RangeError(`netlink attribute ${type} exceeds 64 KiB`);
    this.#view.setUint16(start, this.#length - start, true);
    this.#view.setUint16(start + 2, type | NLA_F_NESTED, true);
  }
}

export interface NetlinkMessage {
  type: number;
  flags: number;
  sequence: number;
  /** What follows the header. */
  payload: Uint8Array;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Splits a received datagram. A length that does not fit ends the walk: the kernel does not send such. */
export function* messagesIn(bytes: Uint8Array): Generator<NetlinkMessage> {
  const view = viewOf(bytes);
  let offset = 0;
  while (offset + HEADER_LENGTH <= bytes.length) {
    const length = view.getUint32(offset, true);
    if (length < HEADER_LENGTH || offset + length > bytes.length) return;
    yield {
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      payload: bytes.subarray(offset + HEADER_LENGTH, offset + length),
    };
    offset += align(length);
  }
}

/** The attributes of a message or of a nested attribute, the last of each type. */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>();

  constructor(bytes: Uint8Array) {
    for (const [type, value] of attributesIn(bytes)) this.#values.set(type, value);
  }

  get(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }
  string(type: number): string | undefined {
    const value = this.#values.get(type);
    if (!value) return undefined;
    const end = value.indexOf(0);
    return decoder.decode(end < 0 ? value : value.subarray(0, end));
  }
  u32(type: number): number | undefined {
    const value = this.#values.get(type);
    return value && value.length >= 4 ? viewOf(value).getUint32(0, true) : undefined;
  }
  be32(type: number): number | undefined {
    const value = this.#values.get(type);
    return value && value.length >= 4 ? viewOf(value).getUint32(0, false) : undefined;
  }
  be64(type: number): bigint | undefined {
    const value = this.#values.get(type);
    return value && value.length >= 8 ? viewOf(value).getBigUint64(0, false) : undefined;
  }
  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value && new Attributes(value);
  }
}

/** Every attribute in order, for lists in which one type repeats. */
export function* attributesIn(bytes: Uint8Array): Generator<[type: number, value: Uint8Array]> {
  const view = viewOf(bytes);
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const length = view.getUint16(offset, true);
    if (length < 4 || offset + length > bytes.length) return;
    yield [view.getUint16(offset + 2, true) & NLA_TYPE_MASK, bytes.subarray(offset + 4, offset + length)];
    offset += align(length);
  }
}
