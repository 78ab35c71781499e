/** PAX extended header records: `<length> <key>=<value>\n` (IEEE Std 1003.1, pax utility). */
import { invalid } from "../../base/errors.ts";

export type PaxRecords = Map<string, Buffer>;

const space = 0x20;
const equals = 0x3d;
const newline = 0x0a;

/** Reads the records of one extended header into `records`; an empty value takes a record back. */
export function parsePax(data: Buffer, records: PaxRecords): void {
  for (let at = 0; at < data.length; ) {
    const blank = data.indexOf(space, at);
    const digits = blank < 0 || blank - at > 12 ? "" : data.toString("latin1", at, blank);
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < digits.length + 4 || end > data.length || data[end - 1] !== newline)
      throw invalid("tar: malformed PAX record");
    const split = data.indexOf(equals, blank + 1);
    if (split < 0 || split >= end || split === blank + 1) throw invalid("tar: PAX record without a key");
    const key = data.toString("latin1", blank + 1, split);
    const value = data.subarray(split + 1, end - 1);
    if (key.includes("\0")) throw invalid("tar: NUL byte in the key of a PAX record");
    if (value.length === 0 && !key.startsWith(xattrPrefix)) records.delete(key);
    else records.set(key, Buffer.from(value));
    at = end;
  }
}

export const xattrPrefix = "SCHILY.xattr.";

/** A PAX string as bytes; refuses a NUL, which no path can hold. */
export function paxText(value: Buffer, key: string): string {
  if (value.includes(0)) throw invalid(`tar: NUL byte in PAX ${key}`);
  return value.toString("latin1");
}

export function paxInteger(value: Buffer, key: string): number {
  const digits = value.toString("latin1");
  const number = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw invalid(`tar: PAX ${key} ${JSON.stringify(digits)} is no number`);
  return number;
}

/** Seconds with a fraction as nanoseconds; digits beyond those are dropped. */
export function paxTime(value: Buffer, key: string): bigint {
  const match = /^(-?)([0-9]{1,12})(?:\.([0-9]*))?$/.exec(value.toString("latin1"));
  if (!match) throw invalid(`tar: PAX ${key} ${JSON.stringify(value.toString("latin1"))} is no time`);
  const nanoseconds =
    BigInt(match[2]!) * 1_000_000_000n + BigInt((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  return match[1] ? -nanoseconds : nanoseconds;
}

/** One record; its length counts its own digits. */
export function formatPax(key: string, value: string | Uint8Array): Buffer {
  const body = Buffer.concat([
    Buffer.from(` ${key}=`, "latin1"),
    typeof value === "string" ? Buffer.from(value, "latin1") : value,
    Buffer.from("\n"),
  ]);
  let length = body.length + String(body.length).length;
  if (String(length).length !== String(body.length).length) length = body.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

export function formatPaxTime(nanoseconds: bigint): string {
  const negative = nanoseconds < 0n;
  const value = negative ? -nanoseconds : nanoseconds;
  const fraction = String(value % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${negative ? "-" : ""}${value / 1_000_000_000n}${fraction ? `.${fraction}` : ""}`;
}
