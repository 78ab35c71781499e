/**
 * Messages of D-Bus (D-Bus Specification 0.43, Type System, Marshaling and Message Format), as far as a client of
 * systemd needs them: all types but file descriptors and doubles, in both byte orders for what is read.
 */
import { CortenError, invalid } from "../../base/errors.ts";

/** A value with its type: what `v` stands for. */
export interface Variant {
  signature: string;
  value: DbusValue;
}
/** Numbers of 64 bits are bigints; a struct is a list of its fields, a dictionary one of pairs; `ay` is bytes. */
export type DbusValue = number | bigint | boolean | string | Uint8Array | readonly DbusValue[] | Variant;

export const messageType = { call: 1, reply: 2, error: 3, signal: 4 } as const;

export interface Message {
  type: number;
  serial: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  sender?: string;
  /** Of the body; "" for none. */
  signature: string;
  body: readonly DbusValue[];
}

/** Codes and types of the header's fields. */
const headerFields = [
  ["path", 1, "o"],
  ["interface", 2, "s"],
  ["member", 3, "s"],
  ["errorName", 4, "s"],
  ["replySerial", 5, "u"],
  ["destination", 6, "s"],
  ["sender", 7, "s"],
] as const;
const signatureField = 8;

const fixedBytes: Record<string, number> = { y: 1, n: 2, q: 2, b: 4, i: 4, u: 4, x: 8, t: 8 };
const alignments: Record<string, number> = { ...fixedBytes, s: 4, o: 4, g: 1, v: 1, a: 4, "(": 8, "{": 8 };
/** The specification's limit on nesting, and ours on size: systemd's messages have some hundred bytes. */
const maxDepth = 64;
export const maxMessage = 1 << 24;

/** The complete types of a signature, one after the other. */
export function splitSignature(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = typeEnd(signature, at, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function typeEnd(signature: string, at: number, depth: number): number {
  const bad = () => invalid(`invalid D-Bus signature ${JSON.stringify(signature)}`);
  const code = signature[at] ?? "";
  if (depth > maxDepth || !(code in alignments)) throw bad();
  if (code === "a") return typeEnd(signature, at + 1, depth + 1);
  if (code !== "(" && code !== "{") return at + 1;
  const close = code === "(" ? ")" : "}";
  let next = at + 1;
  while (signature[next] !== close) next = typeEnd(signature, next, depth + 1);
  if (next === at + 1) throw bad();
  return next + 1;
}

const alignmentOf = (type: string) => alignments[type[0]!]!;

class Writer {
  #bytes = Buffer.alloc(512);
  length = 0;

  result(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  align(to: number): void {
    this.#reserve((to - (this.length % to)) % to);
  }

  #reserve(size: number): number {
    const at = this.length;
    if (at + size > this.#bytes.length) {
      const larger = Buffer.alloc(2 * (at + size));
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    this.length += size;
    return at;
  }

  setU32(at: number, value: number): void {
    this.#bytes.writeUInt32LE(value, at);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  write(type: string, value: DbusValue): void {
    this.align(alignmentOf(type));
    const code = type[0]!;
    const size = fixedBytes[code];
    if (size !== undefined) {
      this.#number(code, size, value);
    } else if (code === "s" || code === "o" || code === "g") {
      this.#string(code, value);
    } else if (code === "v") {
      const variant = value as Variant;
      this.write("g", variant.signature);
      this.write(single(variant.signature), variant.value);
    } else if (code === "a") {
      const at = this.#reserve(4);
      const item = type.slice(1);
      this.align(alignmentOf(item));
      const start = this.length;
      if (value instanceof Uint8Array) this.raw(value);
      else for (const one of value as readonly DbusValue[]) this.write(item, one);
      this.setU32(at, this.length - start);
    } else {
      const types = splitSignature(type.slice(1, -1));
      const fields = value as readonly DbusValue[];
      if (fields.length !== types.length) throw new TypeError(`${fields.length} fields for ${type}`);
      for (const [index, field] of types.entries()) this.write(field, fields[index]!);
    }
  }

  #number(code: string, size: number, value: DbusValue): void {
    const at = this.#reserve(size);
    const number = code === "b" ? Number(value) : value;
    if (code === "y") this.#bytes.writeUInt8(number as number, at);
    else if (code === "n") this.#bytes.writeInt16LE(number as number, at);
    else if (code === "q") this.#bytes.writeUInt16LE(number as number, at);
    else if (code === "i") this.#bytes.writeInt32LE(number as number, at);
    else if (code === "x") this.#bytes.writeBigInt64LE(BigInt(number as bigint), at);
    else if (code === "t") this.#bytes.writeBigUInt64LE(BigInt(number as bigint), at);
    else this.#bytes.writeUInt32LE(number as number, at);
  }

  #string(code: string, value: DbusValue): void {
    const text = value as string;
    if (text.includes("\0")) throw invalid("a D-Bus string cannot have a zero byte");
    const bytes = Buffer.from(text);
    if (code === "g") this.raw(new Uint8Array([bytes.length]));
    else this.write("u", bytes.length);
    this.raw(bytes);
    this.raw(new Uint8Array(1));
  }
}

function single(signature: string): string {
  if (splitSignature(signature).length !== 1) throw invalid(`a variant of ${JSON.stringify(signature)}`);
  return signature;
}

/** The bytes of a message, little endian. */
export function encodeMessage(message: Message): Buffer {
  const body = new Writer();
  for (const [index, type] of splitSignature(message.signature).entries())
    body.write(type, message.body[index]!);
  const fields: DbusValue[] = [];
  for (const [name, code, type] of headerFields) {
    const value = message[name];
    if (value !== undefined) fields.push([code, { signature: type, value }]);
  }
  if (message.signature) fields.push([signatureField, { signature: "g", value: message.signature }]);
  const whole = new Writer();
  whole.raw(new Uint8Array([0x6c, message.type, 0, 1]));
  whole.write("u", body.length);
  whole.write("u", message.serial);
  whole.write("a(yv)", fields);
  whole.align(8);
  whole.raw(body.result());
  return Buffer.from(whole.result());
}

const broken = (what: string) => new CortenError("internal", `a malformed D-Bus message: ${what}`);

class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #little: boolean;
  at: number;

  constructor(bytes: Uint8Array, little: boolean, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = little;
    this.at = at;
  }

  align(to: number): void {
    this.at += (to - (this.at % to)) % to;
  }

  #take(size: number): number {
    const at = this.at;
    if (size > this.#bytes.length - at) throw broken("it ends too soon");
    this.at += size;
    return at;
  }

  read(type: string, depth = 0): DbusValue {
    if (depth > maxDepth) throw broken("nested too deeply");
    this.align(alignmentOf(type));
    const code = type[0]!;
    const size = fixedBytes[code];
    if (size !== undefined) return this.#number(code, this.#take(size));
    if (code === "s" || code === "o" || code === "g") return this.#string(code);
    if (code === "v") {
      const signature = this.#string("g");
      return { signature, value: this.read(single(signature), depth + 1) };
    }
    if (code === "a") return this.#array(type.slice(1), depth);
    return splitSignature(type.slice(1, -1)).map((field) => this.read(field, depth + 1));
  }

  #number(code: string, at: number): number | bigint | boolean {
    const view = this.#view;
    const little = this.#little;
    if (code === "y") return view.getUint8(at);
    if (code === "n") return view.getInt16(at, little);
    if (code === "q") return view.getUint16(at, little);
    if (code === "i") return view.getInt32(at, little);
    if (code === "x") return view.getBigInt64(at, little);
    if (code === "t") return view.getBigUint64(at, little);
    const value = view.getUint32(at, little);
    return code === "b" ? value !== 0 : value;
  }

  #string(code: string): string {
    const length = code === "g" ? this.#bytes[this.#take(1)]! : (this.read("u") as number);
    const at = this.#take(length + 1);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  #array(item: string, depth: number): DbusValue {
    const length = this.read("u") as number;
    this.align(alignmentOf(item));
    if (length > this.#bytes.length - this.at) throw broken("an array ends too late");
    const end = this.at + length;
    if (item === "y") return this.#bytes.slice(this.#take(length), end);
    const values: DbusValue[] = [];
    while (this.at < end) values.push(this.read(item, depth + 1));
    if (this.at !== end) throw broken("an array ends within a value");
    return values;
  }
}

const headBytes = 16;

/** The size of the message that begins here; undefined while too little of it is there to tell. */
export function messageSize(bytes: Uint8Array): number | undefined {
  if (bytes.length < headBytes) return undefined;
  const little = bytes[0] === 0x6c;
  if (!little && bytes[0] !== 0x42) throw broken("its byte order is unknown");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = headBytes + Math.ceil(view.getUint32(12, little) / 8) * 8 + view.getUint32(4, little);
  if (size > maxMessage) throw broken(`it has ${size} bytes`);
  return size;
}

/** Reads one whole message. */
export function decodeMessage(bytes: Uint8Array): Message {
  const little = bytes[0] === 0x6c;
  const reader = new Reader(bytes, little, 8);
  const message: Message = { type: bytes[1]!, serial: reader.read("u") as number, signature: "", body: [] };
  for (const field of reader.read("a(yv)") as readonly DbusValue[]) {
    const [code, { value }] = field as unknown as [number, Variant];
    const known = headerFields.find(([, number]) => number === code);
    if (known) Object.assign(message, { [known[0]]: value });
    else if (code === signatureField) message.signature = value as string;
  }
  reader.align(8);
  message.body = splitSignature(message.signature).map((type) => reader.read(type));
  return message;
}
