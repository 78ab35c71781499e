/**
 * The 512-byte header block: POSIX ustar (IEEE Std 1003.1, pax utility), with GNU's and star's variants of it
 * and base-256 numbers.
 */
import { invalid } from "../../base/errors.ts";

/** A header block with its numbers read, before extension records are applied. */
export interface RawHeader {
  path: string;
  linkPath: string;
  typeflag: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  major: number;
  minor: number;
}

const checksumAt = 148;

/** A NUL-terminated field as a byte string. */
function text(block: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return block.toString("latin1", at, end);
}

/** A number: octal digits, or base-256 when the first bit is set (then two's complement, big-endian). */
export function parseNumber(block: Buffer, at: number, length: number, field: string): number {
  const first = block[at]!;
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n;
    value = (value << 6n) | BigInt(first & 0x3f);
    for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(block[at + i]!);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw invalid(`tar header: ${field} is out of range`);
    return number;
  }
  const trimmed = block
    .toString("latin1", at, at + length)
    .replace(/^[\0 ]+/, "")
    .split(/[\0 ]/, 1)[0]!;
  if (trimmed === "") return 0;
  if (!/^[0-7]+$/.test(trimmed)) throw invalid(`tar header: ${field} is not a number`);
  return Number.parseInt(trimmed, 8);
}

/** True for a block of zeros, two of which end an archive. */
export function isZero(block: Buffer): boolean {
  for (let at = 0; at < block.length; at++) if (block[at] !== 0) return false;
  return true;
}

/** The sum over the block with its own field taken as spaces; some old writers added signed bytes. */
function checksums(block: Buffer): { unsigned: number; signed: number } {
  let unsigned = 0;
  let high = 0;
  for (let at = 0; at < block.length; at++) {
    const byte = at >= checksumAt && at < checksumAt + 8 ? 0x20 : block[at]!;
    unsigned += byte;
    if (byte >= 0x80) high++;
  }
  return { unsigned, signed: unsigned - 256 * high };
}

/** Reads a header block; throws when its checksum or a number in it is wrong. */
export function parseHeader(block: Buffer): RawHeader {
  const sum = parseNumber(block, checksumAt, 8, "checksum");
  const { unsigned, signed } = checksums(block);
  if (sum !== unsigned && sum !== signed) throw invalid("tar header: wrong checksum, this is no tar archive");
  const magic = block.toString("latin1", 257, 265);
  const ustar = magic.startsWith("ustar\0");
  const gnu = magic === "ustar  \0";
  const star = ustar && block.toString("latin1", 508, 512) === "tar\0";
  let path = text(block, 0, 100);
  if (ustar) {
    const prefix = text(block, 345, star ? 131 : 155);
    if (prefix) path = `${prefix}/${path}`;
  }
  return {
    path,
    linkPath: text(block, 157, 100),
    typeflag: String.fromCharCode(block[156]!),
    mode: parseNumber(block, 100, 8, "mode") & 0o7777,
    uid: parseNumber(block, 108, 8, "uid"),
    gid: parseNumber(block, 116, 8, "gid"),
    size: parseNumber(block, 124, 12, "size"),
    mtime: parseNumber(block, 136, 12, "mtime"),
    major: ustar || gnu ? parseNumber(block, 329, 8, "device major") : 0,
    minor: ustar || gnu ? parseNumber(block, 337, 8, "device minor") : 0,
  };
}
