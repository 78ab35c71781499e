/** Writes ustar headers, with a PAX header before those that need more (IEEE Std 1003.1, pax utility). */
import { blockSize, padding, type TarEntry, type TarEntryType } from "./entry.ts";
import { formatPax, formatPaxTime, xattrPrefix } from "./pax.ts";

const typeflags: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** Two blocks of zeros end an archive. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * blockSize);

const isAscii = (text: string) => /^[\x01-\x7f]*$/.test(text);

/** Splits a path into ustar's prefix and name, or returns undefined when it does not fit. */
function split(path: string): { prefix: string; name: string } | undefined {
  if (path.length <= 100) return { prefix: "", name: path };
  if (path.length > 256) return undefined;
  for (let slash = path.indexOf("/"); slash >= 0 && slash <= 155; slash = path.indexOf("/", slash + 1)) {
    const name = path.slice(slash + 1);
    if (slash > 0 && name.length > 0 && name.length <= 100) return { prefix: path.slice(0, slash), name };
  }
  return undefined;
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
}

function block(
  entry: Pick<TarEntry, "linkPath" | "mode" | "uid" | "gid" | "size" | "mtimeNs" | "major" | "minor">,
  typeflag: string,
  prefix: string,
  name: string,
): Buffer {
  const header = Buffer.alloc(blockSize);
  header.write(name, 0, 100, "latin1");
  octal(header, 100, 8, entry.mode);
  octal(header, 108, 8, fits(entry.uid, 7));
  octal(header, 116, 8, fits(entry.gid, 7));
  octal(header, 124, 12, fits(entry.size, 11));
  const seconds = Number(entry.mtimeNs / 1_000_000_000n);
  octal(header, 136, 12, fits(Math.max(seconds, 0), 11));
  header.write("        ", 148, "latin1");
  header.write(typeflag, 156, "latin1");
  header.write(entry.linkPath.slice(0, 100), 157, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  octal(header, 329, 8, fits(entry.major, 7));
  octal(header, 337, 8, fits(entry.minor, 7));
  header.write(prefix, 345, 155, "latin1");
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** A number too large for its field is 0 there; the PAX record says it. */
const fits = (value: number, digits: number) => (value < 8 ** digits ? value : 0);

/** The header blocks of an entry; its data follows, then `padding(size)` zeros. */
export function formatEntry(entry: TarEntry): Uint8Array {
  const records: Buffer[] = [];
  const add = (key: string, value: string | Uint8Array) => records.push(formatPax(key, value));
  const place = isAscii(entry.path) ? split(entry.path) : undefined;
  if (!place) add("path", entry.path);
  if (entry.linkPath.length > 100 || !isAscii(entry.linkPath)) add("linkpath", entry.linkPath);
  if (entry.uid >= 8 ** 7) add("uid", String(entry.uid));
  if (entry.gid >= 8 ** 7) add("gid", String(entry.gid));
  if (entry.size >= 8 ** 11) add("size", String(entry.size));
  if (
    entry.mtimeNs < 0n ||
    entry.mtimeNs % 1_000_000_000n !== 0n ||
    entry.mtimeNs >= 8n ** 11n * 1_000_000_000n
  )
    add("mtime", formatPaxTime(entry.mtimeNs));
  if (entry.atimeNs !== undefined) add("atime", formatPaxTime(entry.atimeNs));
  for (const { name, value } of entry.xattrs) add(`${xattrPrefix}${name}`, value);
  const name = place ?? { prefix: "", name: entry.path.slice(0, 100) };
  const header = block(entry, typeflags[entry.type], name.prefix, name.name);
  if (records.length === 0) return header;
  const data = Buffer.concat(records);
  const extension = block(
    { linkPath: "", mode: 0o644, uid: 0, gid: 0, size: data.length, mtimeNs: 0n, major: 0, minor: 0 },
    "x",
    "",
    `PaxHeaders/${entry.path.replace(/\/+$/, "").split("/").at(-1) ?? ""}`.slice(0, 100),
  );
  return Buffer.concat([extension, data, Buffer.alloc(padding(data.length)), header]);
}
