import { CortenError } from "../base/errors.ts";
import {
  type Field,
  type FieldValue,
  flags,
  limits,
  type OperationShape,
  planMagic,
  planVersion,
  type Role,
  roleBits,
} from "./ops.gen.ts";

const headerBytes = 32;
/** From here on the room for the worst case would be more than a copy is worth. */
const longText = 1 << 16;
const encoder = new TextEncoder();

/** One operation as plain data: its shape from the table, the role that runs it, and its fields by name. */
export interface EncodableOperation {
  name: string;
  shape: OperationShape;
  role: Role;
  tolerant: boolean;
  values: Readonly<Record<string, unknown>>;
}

/** Grows as needed; every value is little endian and padded to four bytes. */
class Writer {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  #reserve(size: number): number {
    const at = this.length;
    this.length += size;
    if (this.length > limits.planBytes)
      throw new CortenError("invalid_argument", "the plan is larger than 4 MiB");
    if (this.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value >>> 0, true);
  }
  i32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setInt32(at, value, true);
  }
  u64(value: bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), true);
  }
  /** A 64-bit value that needs no more than 31. */
  small64(value: number): void {
    const at = this.#reserve(8);
    this.#view.setUint32(at, value, true);
    this.#view.setUint32(at + 4, 0, true);
  }
  patch(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }
  raw(content: Uint8Array): void {
    const at = this.#reserve(content.length);
    this.#bytes.set(content, at);
  }
  /** Length, content, a NUL that is not counted, padding: C uses the content in place. */
  blob(content: Uint8Array): void {
    this.u32(content.length);
    const at = this.#reserve((content.length + 4) & ~3);
    this.#bytes.set(content, at);
  }
  /** As `blob`, encoded in place. */
  text(content: string): void {
    if (content.length > longText) {
      this.blob(encoder.encode(content));
      return;
    }
    const length = this.#reserve(4);
    // No character is more than three bytes for each of its units.
    const most = content.length * 3 + 4;
    const at = this.#reserve(most);
    const { written } = encoder.encodeInto(content, this.#bytes.subarray(at, at + most));
    this.length = at + ((written + 4) & ~3);
    this.#bytes.fill(0, at + written, this.length);
    this.#view.setUint32(length, written, true);
  }
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

function refuse(operation: EncodableOperation, field: string, why: string): never {
  throw new CortenError("invalid_argument", `${operation.name}.${field} ${why}`);
}

function text(operation: EncodableOperation, field: string, value: unknown): string {
  if (typeof value !== "string") refuse(operation, field, "must be a string");
  if (value.includes("\0")) refuse(operation, field, `holds a NUL byte: ${JSON.stringify(value)}`);
  return value;
}

function integer(
  operation: EncodableOperation,
  field: string,
  value: unknown,
  bits: 32 | 64,
  signed: boolean,
) {
  if (typeof value !== "bigint" && !(typeof value === "number" && Number.isInteger(value)))
    refuse(operation, field, `must be an integer, not ${String(value)}`);
  const big = BigInt(value);
  const low = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const high = signed ? 1n << BigInt(bits - 1) : 1n << BigInt(bits);
  if (big < low || big >= high) refuse(operation, field, `is out of range: ${value}`);
  return big;
}

const isSmall = (value: unknown): value is number =>
  typeof value === "number" && (value | 0) === value && value >= 0;

function writeField(out: Writer, operation: EncodableOperation, [name, type, fallback]: Field): void {
  const value = (operation.values[name] ?? fallback) as FieldValue | undefined;
  if (value === undefined) refuse(operation, name, "is missing");
  switch (type) {
    case "slot":
    case "out":
      if (value !== 0xffffffff && !(typeof value === "number" && value >= 0 && value < limits.slots))
        refuse(operation, name, `is no slot: ${String(value)}`);
      out.u32(Number(value));
      break;
    case "u32":
      // Nearly all are plain small numbers; exact arithmetic is for the others, and for what is refused.
      out.u32(isSmall(value) ? value : Number(integer(operation, name, value, 32, false)));
      break;
    case "i32":
      out.i32(isSmall(value) ? value : Number(integer(operation, name, value, 32, true)));
      break;
    case "u64":
      if (isSmall(value)) out.small64(value);
      else out.u64(integer(operation, name, value, 64, false));
      break;
    case "i64":
      if (isSmall(value)) out.small64(value);
      else out.u64(integer(operation, name, value, 64, true));
      break;
    case "str":
      out.text(text(operation, name, value));
      break;
    case "bytes":
      if (!(value instanceof Uint8Array)) refuse(operation, name, "must be bytes");
      out.blob(value);
      break;
    case "strs":
      if (!Array.isArray(value)) refuse(operation, name, "must be a list of strings");
      out.u32(value.length);
      for (const item of value) out.text(text(operation, name, item));
  }
}

/** Encodes operations as native/plan.c reads them: a header of 32 bytes, then length-prefixed operations. */
export function encodeOperations(operations: readonly EncodableOperation[], fdCount: number): Uint8Array {
  if (operations.length > limits.steps)
    throw new CortenError("invalid_argument", `a plan of ${operations.length} operations is too long`);
  const out = new Writer();
  out.raw(encoder.encode(planMagic));
  out.u32(planVersion);
  out.u32(0);
  out.u32(operations.length);
  out.u32(fdCount);
  out.u64(0n);
  if (out.length !== headerBytes) throw new CortenError("internal", "plan header has the wrong size");
  for (const operation of operations) {
    if (!operation.shape.roles.includes(operation.role))
      throw new CortenError("invalid_argument", `${operation.name} cannot run in role ${operation.role}`);
    const start = out.length;
    out.u32(0);
    out.u32(
      operation.shape.number |
        (roleBits[operation.role] << 16) |
        ((operation.tolerant ? flags.tolerant : 0) << 24),
    );
    for (const field of operation.shape.fields) writeField(out, operation, field);
    out.patch(start, out.length - start);
  }
  out.patch(12, out.length);
  return out.finish();
}
