import { constants, inflateRawSync } from "node:zlib";
import { invalid, messageOf } from "../../../base/errors.ts";
import { dictionary, dictionaryId } from "./dictionary.ts";

/** Names in lower case. Several values of a name are joined by NUL, as on the wire. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** A header block of this many bytes, uncompressed, is more than any client has to say. */
const blockLimit = 16 * 1024;
const countLimit = 100;
/** How far back deflate refers. */
const historyLimit = 32 * 1024;

/**
 * Uncompresses the header blocks of one direction: SPDY/3 section 2.6.10.1. They are one zlib stream, flushed
 * after each block, so each block can be inflated by itself when what came before it is given as dictionary:
 * no state of zlib's is held for a connection, and there is nothing asynchronous.
 */
export class HeaderDecoder {
  #history: Buffer = dictionary();
  #begun = false;

  decode(block: Uint8Array): SpdyHeaders {
    let data = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    if (!this.#begun) {
      checkStart(data);
      data = data.subarray(6);
      this.#begun = true;
    }
    let plain: Buffer;
    try {
      plain = inflateRawSync(data, {
        dictionary: this.#history,
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: blockLimit,
      });
    } catch (error) {
      throw invalid(`invalid compressed header block: ${messageOf(error)}`, error);
    }
    const history = Buffer.concat([this.#history, plain]);
    this.#history = history.subarray(Math.max(0, history.length - historyLimit));
    return parseHeaderBlock(plain);
  }
}

/** RFC 1950: deflate with a preset dictionary, and which. */
function checkStart(data: Buffer): void {
  if (data.length < 6) throw invalid("header block is too short for a zlib stream");
  const start = data.readUInt16BE(0);
  if ((data[0]! & 0x0f) !== 8 || start % 31 !== 0 || (data[1]! & 0x20) === 0)
    throw invalid("header block is no zlib stream with a dictionary");
  if (data.readUInt32BE(2) !== dictionaryId) throw invalid("header block uses an unknown dictionary");
}

function parseHeaderBlock(plain: Buffer): SpdyHeaders {
  let at = 0;
  const number = () => {
    if (at + 4 > plain.length) throw invalid("header block is cut short");
    const value = plain.readUInt32BE(at);
    at += 4;
    return value;
  };
  const text = () => {
    const length = number();
    if (length > plain.length - at) throw invalid("header block is cut short");
    at += length;
    return plain.toString("latin1", at - length, at);
  };
  const count = number();
  if (count > countLimit) throw invalid(`header block has ${count} headers, at most ${countLimit} are taken`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index++) {
    const name = text().toLowerCase();
    const value = text();
    if (name === "" || headers.has(name))
      throw invalid(`header ${JSON.stringify(name)} is empty or repeated`);
    headers.set(name, value);
  }
  return headers;
}

/**
 * The other direction. Its blocks are stored, not compressed (RFC 1951 section 3.2.4): they are a few bytes
 * long, and each ends on a byte by itself. After it comes an empty one, as after zlib's sync flush: Go's inflate
 * gives out what it has when it sees that, and otherwise wants to read on.
 */
export class HeaderEncoder {
  #begun = false;

  encode(headers: SpdyHeaders): Buffer {
    const parts: Buffer[] = [];
    const number = (value: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      parts.push(bytes);
    };
    const text = (value: string) => {
      const bytes = Buffer.from(value, "latin1");
      number(bytes.length);
      parts.push(bytes);
    };
    number(headers.size);
    for (const [name, value] of headers) {
      text(name.toLowerCase());
      text(value);
    }
    const plain = Buffer.concat(parts);
    if (plain.length > blockLimit) throw invalid(`headers of ${plain.length} bytes are too long to send`);
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(plain.length, 1);
    stored.writeUInt16LE(plain.length ^ 0xffff, 3);
    if (this.#begun) return Buffer.concat([stored, plain, emptyBlock]);
    this.#begun = true;
    const start = Buffer.from([0x78, 0x20, 0, 0, 0, 0]);
    start.writeUInt32BE(dictionaryId, 2);
    return Buffer.concat([start, stored, plain, emptyBlock]);
  }
}

const emptyBlock = Buffer.from([0, 0, 0, 0xff, 0xff]);
