/**
 * A tar reader that is pushed: bytes go in as they come, entries and their data go out to a sink in the same
 * call. Nothing is buffered but headers, so an archive of any size takes constant memory.
 */
import { CortenError, invalid, unimplemented } from "../../base/errors.ts";
import { blockSize, padding, type TarEntry, type TarEntryType } from "./entry.ts";
import { isZero, parseHeader, type RawHeader } from "./header.ts";
import { type PaxRecords, parsePax, paxInteger, paxText, paxTime, xattrPrefix } from "./pax.ts";

export interface TarSink {
  entry(entry: TarEntry): void;
  /** Data of the entry before; the bytes are only valid during the call. */
  data(bytes: Uint8Array): void;
  /** All data of the entry came. Called for every entry. */
  end(): void;
}

export interface TarLimits {
  maxEntries: number;
  maxHeaderSize: number;
  maxPathLength: number;
  /** An entry that announces more data than this is refused before any of it is read. */
  maxSize: number;
}

const types: Readonly<Record<string, TarEntryType>> = {
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

type State = "header" | "extension" | "body" | "skip" | "ended";

export class TarReader {
  readonly #sink: TarSink;
  readonly #limits: TarLimits;
  #state: State = "header";
  /** Collects a header block or an extension's data when they come in pieces. */
  #pending: Buffer = Buffer.alloc(0);
  #pendingLength = 0;
  /** Bytes of data (or of what is skipped) still to come, and the padding behind them. */
  #left = 0;
  #padding = 0;
  #extension = "";
  readonly #global: PaxRecords = new Map();
  #local: PaxRecords = new Map();
  #longPath = "";
  #longLink = "";
  #zeroBlock = false;
  /** Bytes of extension records that are held: of global ones, and of those for the next entry. */
  #globalBytes = 0;
  #localBytes = 0;
  #entries = 0;

  constructor(sink: TarSink, limits: TarLimits) {
    this.#sink = sink;
    this.#limits = limits;
    this.#expect(blockSize);
  }

  get entries(): number {
    return this.#entries;
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at < bytes.length; ) {
      switch (this.#state) {
        case "header":
          at = this.#takeHeader(bytes, at);
          break;
        case "extension":
          at = this.#takeExtension(bytes, at);
          break;
        case "body": {
          const end = Math.min(bytes.length, at + this.#left);
          this.#sink.data(chunk.subarray(at, end));
          this.#left -= end - at;
          at = end;
          if (this.#left === 0) this.#finishBody();
          break;
        }
        case "skip": {
          const end = Math.min(bytes.length, at + this.#left);
          this.#left -= end - at;
          at = end;
          if (this.#left === 0) this.#nextHeader();
          break;
        }
        case "ended":
          return;
      }
    }
  }

  /** The input ended; throws when that was in the middle of something. A missing end mark is accepted. */
  finish(): void {
    if (this.#state === "ended") return;
    if (this.#state !== "header" || this.#pendingLength > 0 || this.#local.size > 0 || this.#longPath)
      throw invalid("tar: the archive ends in the middle of an entry");
  }

  #expect(size: number): void {
    if (this.#pending.length < size) this.#pending = Buffer.alloc(size);
    this.#pendingLength = 0;
  }

  #takeHeader(bytes: Buffer, at: number): number {
    if (this.#pendingLength === 0 && bytes.length - at >= blockSize) {
      this.#header(bytes.subarray(at, at + blockSize));
      return at + blockSize;
    }
    const end = Math.min(bytes.length, at + blockSize - this.#pendingLength);
    bytes.copy(this.#pending, this.#pendingLength, at, end);
    this.#pendingLength += end - at;
    if (this.#pendingLength === blockSize) {
      this.#pendingLength = 0;
      this.#header(this.#pending.subarray(0, blockSize));
    }
    return end;
  }

  #takeExtension(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    bytes.copy(this.#pending, this.#pendingLength, at, end);
    this.#pendingLength += end - at;
    this.#left -= end - at;
    if (this.#left === 0) this.#finishExtension();
    return end;
  }

  #header(block: Buffer): void {
    if (isZero(block)) {
      if (this.#zeroBlock) this.#state = "ended";
      this.#zeroBlock = true;
      return;
    }
    if (this.#zeroBlock) throw invalid("tar: data after a block of zeros");
    const raw = parseHeader(block);
    if (raw.size < 0) throw invalid(`tar: entry ${show(raw.path)} has a negative size`);
    if ("xgLK".includes(raw.typeflag)) {
      const held = raw.typeflag === "g" ? this.#globalBytes : this.#localBytes;
      if (raw.size + held > this.#limits.maxHeaderSize)
        throw tooMuch(`tar: extension headers of ${raw.size + held} bytes`, this.#limits.maxHeaderSize);
      if (raw.typeflag === "g") this.#globalBytes += raw.size;
      else this.#localBytes += raw.size;
      this.#extension = raw.typeflag;
      this.#left = raw.size;
      this.#padding = padding(raw.size);
      this.#expect(Math.max(raw.size, blockSize));
      this.#state = "extension";
      if (raw.size === 0) this.#finishExtension();
      return;
    }
    if (raw.typeflag === "V") {
      // A volume label is no file.
      this.#skip(raw.size + padding(raw.size));
      return;
    }
    this.#entry(raw);
  }

  #finishExtension(): void {
    const data = this.#pending.subarray(0, this.#pendingLength);
    if (this.#extension === "x") parsePax(data, this.#local);
    else if (this.#extension === "g") parsePax(data, this.#global);
    else {
      const end = data.indexOf(0);
      const name = data.toString("latin1", 0, end < 0 ? data.length : end);
      if (this.#extension === "L") this.#longPath = name;
      else this.#longLink = name;
    }
    this.#skip(this.#padding);
  }

  #entry(raw: RawHeader): void {
    if (++this.#entries > this.#limits.maxEntries)
      throw tooMuch("tar: more entries than allowed", this.#limits.maxEntries);
    const entry = this.#resolve(raw);
    this.#local = new Map();
    this.#longPath = "";
    this.#longLink = "";
    this.#localBytes = 0;
    this.#sink.entry(entry);
    this.#left = entry.size;
    this.#padding = padding(entry.size);
    this.#state = "body";
    if (entry.size === 0) this.#finishBody();
  }

  /** The header with GNU's long names and PAX records on top: local before global, PAX before GNU. */
  #resolve(raw: RawHeader): TarEntry {
    const pax = (key: string) => this.#local.get(key) ?? this.#global.get(key);
    const paxPath = pax("path");
    const paxLink = pax("linkpath");
    const path = paxPath ? paxText(paxPath, "path") : this.#longPath || raw.path;
    const linkPath = paxLink ? paxText(paxLink, "linkpath") : this.#longLink || raw.linkPath;
    for (const name of [path, linkPath])
      if (name.length > this.#limits.maxPathLength)
        throw tooMuch(`tar: a path of ${name.length} bytes`, this.#limits.maxPathLength);
    for (const key of this.#local.keys())
      if (key.startsWith("GNU.sparse.")) throw unimplemented(`tar: ${show(path)} is a sparse entry`);
    let type = types[raw.typeflag];
    if (!type)
      throw unimplemented(
        `tar: ${show(path)} has the entry type ${JSON.stringify(raw.typeflag)}${raw.typeflag === "S" ? " (GNU sparse)" : ""}`,
      );
    // Archives older than POSIX have no type for directories.
    if (type === "file" && path.endsWith("/")) type = "directory";
    const paxSize = pax("size");
    const size = type !== "file" ? 0 : paxSize ? paxInteger(paxSize, "size") : raw.size;
    if (size > this.#limits.maxSize)
      throw tooMuch(`tar: ${show(path)} has ${size} bytes`, this.#limits.maxSize);
    const uid = pax("uid");
    const gid = pax("gid");
    const mtime = pax("mtime");
    const atime = pax("atime");
    return {
      path,
      linkPath: type === "link" || type === "symlink" ? linkPath : "",
      type,
      mode: raw.mode,
      uid: owner(uid ? paxInteger(uid, "uid") : raw.uid, path),
      gid: owner(gid ? paxInteger(gid, "gid") : raw.gid, path),
      size,
      mtimeNs: mtime ? paxTime(mtime, "mtime") : BigInt(raw.mtime) * 1_000_000_000n,
      ...(atime ? { atimeNs: paxTime(atime, "atime") } : {}),
      major: raw.major,
      minor: raw.minor,
      xattrs: this.#xattrs(),
    };
  }

  #xattrs(): Array<{ name: string; value: Uint8Array }> {
    const found: Array<{ name: string; value: Uint8Array }> = [];
    for (const [key, value] of this.#local)
      if (key.startsWith(xattrPrefix)) found.push({ name: key.slice(xattrPrefix.length), value });
    for (const [key, value] of this.#global)
      if (key.startsWith(xattrPrefix) && !this.#local.has(key))
        found.push({ name: key.slice(xattrPrefix.length), value });
    return found;
  }

  #finishBody(): void {
    this.#sink.end();
    this.#skip(this.#padding);
  }

  #skip(bytes: number): void {
    this.#left = bytes;
    this.#state = "skip";
    if (bytes === 0) this.#nextHeader();
  }

  #nextHeader(): void {
    this.#pendingLength = 0;
    this.#state = "header";
  }
}

/** uid_t and gid_t are 32 bits, and all ones mean "leave it" to chown. */
function owner(id: number, path: string): number {
  if (id < 0 || id >= 0xffffffff) throw invalid(`tar: owner ${id} of ${show(path)} is out of range`);
  return id;
}

const show = (path: string) => JSON.stringify(Buffer.from(path.slice(0, 256), "latin1").toString("utf8"));

function tooMuch(what: string, limit: number): CortenError {
  return new CortenError("resource_exhausted", `${what}; the limit is ${limit}`);
}
