/** Reads and writes tar archives: ustar with GNU's and pax's long names, as dpkg and OCI layers have them. */
import { CortenError } from "../base/errors.ts";
import { ByteReader } from "./byte-reader.ts";

export type EntryType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

export interface TarEntry {
  /** As in the archive when read; relative, without a leading `./` when written. */
  path: string;
  type: EntryType;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Of a hard link or a symbolic one. */
  target: string;
  major: number;
  minor: number;
}

const typeOf: Record<string, EntryType> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};
const flagOf = Object.fromEntries(
  Object.entries(typeOf)
    .filter(([flag]) => /[0-6]/.test(flag))
    .map(([flag, type]) => [type, flag]),
) as Record<EntryType, string>;

const maxExtension = 1024 * 1024;
const paddingOf = (size: number): number => (512 - (size % 512)) % 512;

/** The entries of an archive; what of `body` is not read is passed over. */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ entry: TarEntry; body: AsyncIterable<Uint8Array> }> {
  const reader = new ByteReader(source);
  let pax: Map<string, string> = new Map();
  let longPath: string | undefined;
  let longTarget: string | undefined;
  try {
    for (;;) {
      const header = await reader.read(512);
      if (!header || header.every((byte) => byte === 0)) {
        await reader.drain();
        return;
      }
      checkSum(header);
      const flag = String.fromCharCode(header[156]!);
      const size = number(header, 124, 12);
      if (flag === "x" || flag === "g" || flag === "L" || flag === "K") {
        if (size > maxExtension) throw new CortenError("data_loss", "tar: an extension header is too large");
        const data = (await reader.read(size)) ?? Buffer.alloc(0);
        await reader.skip(paddingOf(size));
        if (flag === "x") pax = readPax(data);
        else if (flag === "L") longPath = cString(data);
        else if (flag === "K") longTarget = cString(data);
        continue;
      }
      const type = typeOf[flag];
      if (!type) throw new CortenError("data_loss", `tar: entry type ${JSON.stringify(flag)} is unknown`);
      const prefix =
        header.toString("latin1", 257, 262) === "ustar" && header[263] === 0x30
          ? cString(header.subarray(345, 500))
          : "";
      const name = cString(header.subarray(0, 100));
      const entry: TarEntry = {
        path: pax.get("path") ?? longPath ?? (prefix ? `${prefix}/${name}` : name),
        type,
        mode: number(header, 100, 8) & 0o7777,
        uid: Number(pax.get("uid") ?? number(header, 108, 8)),
        gid: Number(pax.get("gid") ?? number(header, 116, 8)),
        size: type === "file" ? Number(pax.get("size") ?? size) : 0,
        mtime: Math.floor(Number(pax.get("mtime") ?? number(header, 136, 12))),
        target: pax.get("linkpath") ?? longTarget ?? cString(header.subarray(157, 257)),
        major: number(header, 329, 8),
        minor: number(header, 337, 8),
      };
      pax = new Map();
      longPath = undefined;
      longTarget = undefined;
      let left = entry.size;
      const body = (async function* () {
        for await (const chunk of reader.stream(entry.size)) {
          left -= chunk.length;
          yield chunk;
        }
      })();
      yield { entry, body };
      await reader.skip(left + paddingOf(entry.size));
    }
  } finally {
    await reader.close();
  }
}

const cString = (bytes: Buffer): string => {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
};

/** Octal digits, or GNU's binary form for large values. */
function number(header: Buffer, at: number, length: number): number {
  if (header[at]! & 0x80) {
    let value = header[at]! & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + header[at + i]!;
    return value;
  }
  const text = header
    .toString("latin1", at, at + length)
    .replace(/[\0 ]+/g, " ")
    .trim();
  if (!/^[0-7]*$/.test(text)) throw new CortenError("data_loss", "tar: a malformed number");
  return text === "" ? 0 : Number.parseInt(text, 8);
}

function checkSum(header: Buffer): void {
  let sum = 8 * 0x20;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += header[i]!;
  if (sum !== number(header, 148, 8)) throw new CortenError("data_loss", "tar: wrong header checksum");
}

function readPax(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = Number(data.toString("latin1", at, space));
    if (space < 0 || !(length > 0) || at + length > data.length)
      throw new CortenError("data_loss", "tar: a malformed pax header");
    const record = data.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

/** The header blocks of an entry. The same entry always gives the same bytes: no names of owners, no clock. */
export function tarHeader(entry: TarEntry): Buffer {
  const path = entry.type === "directory" ? `${entry.path}/` : entry.path;
  const pax: Array<[string, string]> = [];
  const [name, prefix] = splitPath(path);
  if (name === undefined) pax.push(["path", path]);
  if (Buffer.byteLength(entry.target) > 100) pax.push(["linkpath", entry.target]);
  if (entry.size > 0o77777777777) pax.push(["size", String(entry.size)]);
  const header = block(entry, name ?? cut(path), prefix, flagOf[entry.type], entry.size);
  if (pax.length === 0) return header;
  const records = Buffer.from(pax.map(([key, value]) => paxRecord(key, value)).join(""));
  const extension = block(
    { ...entry, target: "", major: 0, minor: 0 },
    "@PaxHeader",
    "",
    "x",
    records.length,
  );
  return Buffer.concat([extension, records, Buffer.alloc(paddingOf(records.length)), header]);
}

/** Zeros after a body of this size. */
export const tarPadding = (size: number): Buffer => Buffer.alloc(paddingOf(size));
/** The two empty blocks at an archive's end. */
export const tarEnd = (): Buffer => Buffer.alloc(1024);

const cut = (text: string): string =>
  Buffer.from(text)
    .toString("latin1", 0, 99)
    .replace(/[^\x20-\x7e]/g, "_");

/** Name and prefix of ustar; the name is undefined when the path does not fit. */
function splitPath(path: string): [name: string | undefined, prefix: string] {
  if (!/^[\x20-\x7e]*$/.test(path)) return [undefined, ""];
  if (path.length <= 100) return [path, ""];
  const from = path.length - 101;
  const slash = path.indexOf("/", Math.max(from, 0));
  if (slash < 1 || slash > 155 || slash === path.length - 1) return [undefined, ""];
  return [path.slice(slash + 1), path.slice(0, slash)];
}

function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function block(entry: TarEntry, name: string, prefix: string, flag: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) =>
    header.write(
      value
        .toString(8)
        .padStart(length - 1, "0")
        .slice(-(length - 1)),
      at,
      "latin1",
    );
  header.write(name, 0, "latin1");
  octal(entry.mode, 100, 8);
  octal(entry.uid, 108, 8);
  octal(entry.gid, 116, 8);
  octal(size > 0o77777777777 ? 0 : size, 124, 12);
  octal(Math.max(0, entry.mtime), 136, 12);
  header.write("        ", 148, "latin1");
  header.write(flag, 156, "latin1");
  if (Buffer.byteLength(entry.target) <= 100) header.write(entry.target, 157, "utf8");
  header.write("ustar\0" + "00", 257, "latin1");
  octal(entry.major, 329, 8);
  octal(entry.minor, 337, 8);
  header.write(prefix, 345, "latin1");
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}
