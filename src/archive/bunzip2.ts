/**
 * A bzip2 decoder (the format as in the manual of bzip2 1.0 and J. Seward's decoder: blocks of up to 900 kB; Huffman
 * codes, move-to-front, run lengths, Burrows–Wheeler). Bytes are pushed in and come out block by block.
 */
import { invalid } from "../base/errors.ts";

const blockMagic = 0x314159265359;
const endMagic = 0x177245385090;
const groupSize = 50;
const maxCodeLength = 20;
const maxSelectors = 18002;

/** Thrown inside when a block is not there in full yet. */
const needMore = Symbol("more input");

interface Table {
  limit: Int32Array;
  base: Int32Array;
  symbols: Uint16Array;
  shortest: number;
}

export class Bunzip2 {
  readonly #what: string;
  #input: Buffer = Buffer.alloc(0);
  /** Position in bits. */
  #at = 0;
  #ended = false;
  /** Bytes of a block; 0 before a stream's header. */
  #blockSize = 0;
  #combined = 0;
  #streams = 0;

  constructor(what: string) {
    this.#what = what;
  }

  /** Takes input, gives the blocks that are complete with it. */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    this.#ended = false;
    const done = this.#at >> 3;
    this.#input = Buffer.concat([this.#input.subarray(done), chunk]);
    this.#at &= 7;
    // No block is longer than its data uncompressed: fewer tries, each of which reads a block from its begin.
    if (this.#blockSize > 0 && this.#input.length < this.#waitFor) return;
    yield* this.#blocks();
  }

  *finish(): Generator<Uint8Array> {
    this.#ended = true;
    yield* this.#blocks();
    if (this.#blockSize > 0 || this.#streams === 0) throw this.#damaged("it ends early");
  }

  /** After a block was not complete: at least so much before the next try. */
  #waitFor = 0;

  *#blocks(): Generator<Uint8Array> {
    for (;;) {
      const start = this.#at;
      try {
        const block = this.#next();
        if (block === undefined) return;
        this.#waitFor = 0;
        if (block.length > 0) yield block;
      } catch (error) {
        if (error !== needMore) throw error;
        if (this.#ended) throw this.#damaged("it ends early");
        this.#at = start;
        this.#waitFor = (this.#input.length - (start >> 3)) * 2;
        return;
      }
    }
  }

  /** The next block; an empty one for headers and ends; undefined at the end of all. */
  #next(): Uint8Array | undefined {
    if (this.#blockSize === 0) {
      if (this.#streams > 0 && this.#input.length * 8 - this.#at < 32) {
        if (!this.#ended) throw needMore;
        return undefined;
      }
      const magic = this.#bits(24);
      const level = this.#bits(8) - 0x30;
      if (magic !== 0x425a68 || level < 1 || level > 9) {
        // What follows the last stream is not ours.
        if (this.#streams > 0) return undefined;
        throw this.#damaged("no bzip2 header");
      }
      this.#blockSize = level * 100_000;
      this.#combined = 0;
      return new Uint8Array(0);
    }
    const magic = this.#bits(24) * 2 ** 24 + this.#bits(24);
    if (magic === endMagic) {
      const expected = (this.#bits(16) * 2 ** 16 + this.#bits(16)) >>> 0;
      if (expected !== this.#combined) throw this.#damaged("wrong checksum");
      this.#at = (this.#at + 7) & ~7;
      this.#blockSize = 0;
      this.#streams++;
      return new Uint8Array(0);
    }
    if (magic !== blockMagic) throw this.#damaged("no block where one should be");
    return this.#block();
  }

  #bits(count: number): number {
    const end = this.#at + count;
    if (end > this.#input.length * 8) throw needMore;
    let value = 0;
    let at = this.#at;
    while (at < end) {
      const offset = at & 7;
      const take = Math.min(8 - offset, end - at);
      value = (value << take) | ((this.#input[at >> 3]! >> (8 - offset - take)) & ((1 << take) - 1));
      at += take;
    }
    this.#at = end;
    return value;
  }

  #block(): Uint8Array {
    const expected = (this.#bits(16) * 2 ** 16 + this.#bits(16)) >>> 0;
    if (this.#bits(1)) throw this.#damaged("randomised blocks are not supported");
    const origin = this.#bits(24);
    const used = this.#usedBytes();
    const groups = this.#bits(3);
    if (groups < 2 || groups > 6) throw this.#damaged("a wrong number of tables");
    const selectors = this.#selectors(groups);
    const tables = Array.from({ length: groups }, () => this.#table(used.length + 2));
    const { words, counts, length } = this.#symbols(used, selectors, tables);
    if (origin >= length) throw this.#damaged("a wrong origin");
    const out = undoTransform(words, counts, length, origin);
    if (!out) throw this.#damaged("a block is too large");
    const crc = checksum(out);
    if (crc !== expected) throw this.#damaged("wrong checksum");
    this.#combined = (((this.#combined << 1) | (this.#combined >>> 31)) ^ crc) >>> 0;
    return out;
  }

  #usedBytes(): number[] {
    const ranges = this.#bits(16);
    const used: number[] = [];
    for (let range = 0; range < 16; range++) {
      if (!(ranges & (0x8000 >> range))) continue;
      const bytes = this.#bits(16);
      for (let bit = 0; bit < 16; bit++) if (bytes & (0x8000 >> bit)) used.push(range * 16 + bit);
    }
    if (used.length === 0) throw this.#damaged("a block without bytes");
    return used;
  }

  #selectors(groups: number): Uint8Array {
    const count = this.#bits(15);
    if (count < 1) throw this.#damaged("no selectors");
    const order = Array.from({ length: groups }, (_, index) => index);
    const selectors = new Uint8Array(Math.min(count, maxSelectors));
    for (let at = 0; at < count; at++) {
      let index = 0;
      while (this.#bits(1)) if (++index >= groups) throw this.#damaged("a wrong selector");
      const [chosen = 0] = order.splice(index, 1);
      order.unshift(chosen);
      // Some writers give more than can be used.
      if (at < maxSelectors) selectors[at] = chosen;
    }
    return selectors;
  }

  #table(size: number): Table {
    const lengths = new Uint8Array(size);
    let length = this.#bits(5);
    for (let symbol = 0; symbol < size; symbol++) {
      for (;;) {
        if (length < 1 || length > maxCodeLength) throw this.#damaged("a wrong code length");
        if (!this.#bits(1)) break;
        length += this.#bits(1) ? -1 : 1;
      }
      lengths[symbol] = length;
    }
    const shortest = Math.min(...lengths);
    const longest = Math.max(...lengths);
    const symbols = new Uint16Array(size);
    const limit = new Int32Array(maxCodeLength + 2).fill(-1);
    const base = new Int32Array(maxCodeLength + 2);
    let code = 0;
    let index = 0;
    for (let bits = shortest; bits <= longest; bits++) {
      base[bits] = index - code;
      for (let symbol = 0; symbol < size; symbol++)
        if (lengths[symbol] === bits) {
          symbols[index++] = symbol;
          code++;
        }
      limit[bits] = code - 1;
      code <<= 1;
    }
    return { limit, base, symbols, shortest };
  }

  #code({ limit, base, symbols, shortest }: Table): number {
    let bits = shortest;
    let code = this.#bits(shortest);
    while (code > limit[bits]!) {
      if (++bits > maxCodeLength) throw this.#damaged("a wrong code");
      code = (code << 1) | this.#bits(1);
    }
    const index = code + base[bits]!;
    const symbol = symbols[index];
    if (index < 0 || symbol === undefined) throw this.#damaged("a wrong code");
    return symbol;
  }

  /** Huffman codes, run lengths of the most recent byte, and move-to-front. */
  #symbols(
    used: readonly number[],
    selectors: Uint8Array,
    tables: readonly Table[],
  ): { words: Uint32Array; counts: Int32Array; length: number } {
    const order = Uint8Array.from(used);
    const words = new Uint32Array(this.#blockSize);
    const counts = new Int32Array(256);
    const end = used.length + 1;
    let length = 0;
    let run = 0;
    let weight = 1;
    for (let position = 0; ; position++) {
      const table = tables[selectors[Math.floor(position / groupSize)] ?? -1];
      if (!table) throw this.#damaged("too few selectors");
      const symbol = this.#code(table);
      if (symbol < 2) {
        run += weight << symbol;
        weight <<= 1;
        if (run > this.#blockSize) throw this.#damaged("a block is too large");
        continue;
      }
      if (run > 0) {
        const byte = order[0]!;
        if (length + run > this.#blockSize) throw this.#damaged("a block is too large");
        counts[byte]! += run;
        words.fill(byte, length, length + run);
        length += run;
        run = 0;
        weight = 1;
      }
      if (symbol === end) return { words, counts, length };
      const byte = order[symbol - 1]!;
      order.copyWithin(1, 0, symbol - 1);
      order[0] = byte;
      if (length >= this.#blockSize) throw this.#damaged("a block is too large");
      counts[byte]!++;
      words[length++] = byte;
    }
  }

  #damaged(why: string): Error {
    return invalid(`${this.#what}: the bzip2 data is damaged: ${why}`);
  }
}

/** The inverse Burrows–Wheeler transform, and the run lengths below it: four equal bytes and a count. */
function undoTransform(
  words: Uint32Array,
  counts: Int32Array,
  length: number,
  origin: number,
): Uint8Array | undefined {
  let sum = 0;
  const next = counts.map((count) => {
    const start = sum;
    sum += count;
    return start;
  });
  for (let at = 0; at < length; at++) {
    const byte = words[at]! & 0xff;
    const to = next[byte]!++;
    words[to] = (words[to]! | (at << 8)) >>> 0;
  }
  let out = Buffer.allocUnsafe(Math.max(length * 2, 1024));
  let written = 0;
  let entry = words[origin]! >>> 8;
  let same = 0;
  let last = -1;
  for (let left = length; left > 0; left--) {
    const word = words[entry]!;
    const byte = word & 0xff;
    entry = word >>> 8;
    const isCount = same === 4;
    const need = isCount ? byte : 1;
    if (written + need > out.length) {
      const larger = Buffer.allocUnsafe(out.length * 2 + 256);
      out.copy(larger, 0, 0, written);
      out = larger;
    }
    if (isCount) {
      out.fill(last, written, written + byte);
      written += byte;
      same = 0;
      last = -1;
      continue;
    }
    out[written++] = byte;
    same = byte === last ? same + 1 : 1;
    last = byte;
  }
  return out.subarray(0, written);
}

let crcTable: Uint32Array | undefined;

/** CRC-32 with the bits from the left, as only bzip2 has it. */
function checksum(data: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte << 24;
    for (let bit = 0; bit < 8; bit++) value = value & 0x80000000 ? (value << 1) ^ 0x04c11db7 : value << 1;
    return value >>> 0;
  });
  let crc = 0xffffffff;
  for (let at = 0; at < data.length; at++)
    crc = ((crc << 8) ^ crcTable[((crc >>> 24) ^ data[at]!) & 0xff]!) >>> 0;
  return ~crc >>> 0;
}
