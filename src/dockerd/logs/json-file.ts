import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import { parseRfc3339 } from "../time.ts";
import { inodeAt, type OpenFile, openAll, openOne } from "./files.ts";

/** A record of Docker's json-file log. */
export interface LogEntry {
  stream: "stdout" | "stderr";
  /** RFC 3339 with nanoseconds, as written. */
  time: string;
  text: string;
}

export interface LogQuery {
  /** The last so many records; undefined for all. */
  tail?: number;
  /** Unix nanoseconds. */
  since?: bigint;
  until?: bigint;
  /** While this is true at the end of the file, more is waited for. */
  follow?: () => boolean;
  /** Called with a function that is to be called when `follow` turns false. */
  onEnd?: (wake: () => void) => void;
  signal: AbortSignal;
}

const blockSize = 64 * 1024;
/** A record cannot be longer: the monitor cuts lines at 16 KiB, and JSON multiplies by six at worst. */
const longestRecord = 1 << 20;
const newline = 10;

/** A log whose files are open: what they hold is read even if the container is removed meanwhile. */
export interface OpenLog {
  path: string;
  files: OpenFile[];
}

export const openLog = async (path: string): Promise<OpenLog> => ({ path, files: await openAll(path) });

/** The records of a log and its rotated predecessors (`path.1` is the youngest of them), oldest first. Closes it. */
export async function* readLog(log: OpenLog, query: LogQuery): AsyncGenerator<LogEntry> {
  const { path, files } = log;
  try {
    const newest = files.at(-1);
    // What is written from here on belongs only to those who follow: the last records are the last ones of now.
    const end = (await newest?.handle.stat())?.size ?? 0;
    let { index, offset } =
      query.tail === undefined ? { index: 0, offset: 0 } : await tailStart(files, end, query.tail);
    for (; index < files.length; index++, offset = 0) {
      const isLast = files[index] === newest;
      if (isLast && query.follow) break;
      for await (const line of lines(files[index]!, offset, isLast ? end : undefined)) {
        const entry = parse(line);
        if (entry && inRange(entry, query)) yield entry;
        if (query.signal.aborted) return;
      }
    }
    if (!query.follow) return;
    const last = files.pop();
    for (const file of files.splice(0)) await file.handle.close();
    yield* followFile(path, last, offset, query);
  } finally {
    for (const file of files) await file.handle.close().catch(() => {});
  }
}

/** Where the last `count` records begin, when the last file ends at `end`: file and offset. */
async function tailStart(
  files: readonly OpenFile[],
  end: number,
  count: number,
): Promise<{ index: number; offset: number }> {
  const last = files.length - 1;
  if (last < 0) return { index: 0, offset: 0 };
  if (count === 0) return { index: last, offset: end };
  let left = count;
  const buffer = Buffer.alloc(blockSize);
  for (let index = last; index >= 0; index--) {
    const { handle } = files[index]!;
    const size = index === last ? end : (await handle.stat()).size;
    // The newline that ends the last record does not begin one.
    let position = size;
    while (position > 0) {
      const length = Math.min(blockSize, position);
      position -= length;
      await handle.read(buffer, 0, length, position);
      for (let at = length - 1; at >= 0; at--)
        if (buffer[at] === newline && position + at !== size - 1 && --left === 0)
          return { index, offset: position + at + 1 };
    }
    // The file's first record has no newline in front of it.
    if (size > 0 && --left === 0) return { index, offset: 0 };
  }
  return { index: 0, offset: 0 };
}

/** Complete lines from `offset` to `end` or the present end; the generator returns the offset after the last one. */
async function* lines(file: OpenFile, offset: number, end = Infinity): AsyncGenerator<string, number> {
  const buffer = Buffer.alloc(blockSize);
  let rest: Buffer = Buffer.alloc(0);
  let position = offset;
  let consumed = offset;
  for (;;) {
    const wanted = Math.min(blockSize, end - position);
    const { bytesRead } = wanted > 0 ? await file.handle.read(buffer, 0, wanted, position) : { bytesRead: 0 };
    if (bytesRead === 0) return consumed;
    position += bytesRead;
    let data =
      rest.length > 0 ? Buffer.concat([rest, buffer.subarray(0, bytesRead)]) : buffer.subarray(0, bytesRead);
    for (let at = data.indexOf(newline); at >= 0; at = data.indexOf(newline)) {
      yield data.toString("utf8", 0, at);
      consumed += at + 1;
      data = data.subarray(at + 1);
    }
    if (data.length > longestRecord) {
      consumed += data.length;
      data = Buffer.alloc(0);
    }
    rest = Buffer.from(data);
  }
}

async function* followFile(
  path: string,
  first: OpenFile | undefined,
  startOffset: number,
  query: LogQuery,
): AsyncGenerator<LogEntry> {
  /** The file that is read, and those that followed it already. */
  let files = first ? [first] : [];
  let offset = startOffset;
  const bell = new Bell(path, query);
  try {
    for (;;) {
      // Asked before the file is read: what was written before the end is still found.
      const more = query.follow?.() ?? false;
      const ticket = bell.ticket();
      if (files.length === 0) files = [await openOne(path)].filter((file) => file !== undefined);
      const file = files[0];
      // Asked before as well: what has its successor is complete.
      const complete = file && (files.length > 1 || (await isRotated(path, file)));
      if (file) {
        if ((await file.handle.stat()).size < offset) offset = 0;
        const iterator = lines(file, offset);
        for (;;) {
          const step = await iterator.next();
          if (step.done) {
            offset = step.value;
            break;
          }
          const entry = parse(step.value);
          if (!entry) continue;
          if (query.until !== undefined && timeOf(entry) > query.until) return;
          if (inRange(entry, query)) yield entry;
          if (query.signal.aborted) return;
        }
      }
      if (complete) {
        if (files.length === 1) files.push(...(await successors(path, file)));
        await files.shift()?.handle.close();
        offset = 0;
        continue;
      }
      if (!more || query.signal.aborted) return;
      // It may have been rotated since we asked, before the bell was there.
      if (file && (await isRotated(path, file))) continue;
      await bell.rung(ticket);
    }
  } finally {
    bell.close();
    for (const { handle } of files) await handle.close().catch(() => {});
  }
}

/** The files that came after one that was rotated away, while which others may have been as well. */
async function successors(path: string, file: OpenFile): Promise<OpenFile[]> {
  const all = await openAll(path);
  const later = all.findIndex(({ inode }) => inode === file.inode) + 1;
  for (const { handle } of all.splice(0, later)) await handle.close();
  return all;
}

async function isRotated(path: string, file: OpenFile): Promise<boolean> {
  const inode = await inodeAt(path);
  return inode !== undefined && inode !== file.inode;
}

/** Rings when the log's directory changes, the log is to end, or the reader goes away; never missed, by counting. */
class Bell {
  #count = 0;
  #wake: (() => void) | undefined;
  readonly #watcher: FSWatcher | undefined;
  readonly #signal: AbortSignal;
  readonly #ring = () => {
    this.#count++;
    this.#wake?.();
    this.#wake = undefined;
  };

  constructor(path: string, query: LogQuery) {
    this.#signal = query.signal;
    if (!query.follow) return;
    try {
      this.#watcher = watch(dirname(path), this.#ring);
      this.#watcher.on("error", this.#ring);
    } catch {
      // The directory is gone: so is the container, and `onEnd` rings.
    }
    query.signal.addEventListener("abort", this.#ring);
    query.onEnd?.(this.#ring);
  }

  ticket(): number {
    return this.#count;
  }

  async rung(ticket: number): Promise<void> {
    if (this.#count !== ticket) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  close(): void {
    this.#watcher?.close();
    this.#signal.removeEventListener("abort", this.#ring);
  }
}

function parse(line: string): LogEntry | undefined {
  try {
    const {
      log = "",
      stream = "stdout",
      time = "",
    } = JSON.parse(line) as {
      log?: string;
      stream?: string;
      time?: string;
    };
    return { text: log, stream: stream === "stderr" ? "stderr" : "stdout", time };
  } catch {
    // Cut short by a crash of the machine: the rest of the log is worth more than an error.
    return undefined;
  }
}

const timeOf = (entry: LogEntry): bigint => parseRfc3339(entry.time) ?? 0n;

function inRange(entry: LogEntry, { since, until }: LogQuery): boolean {
  if (since === undefined && until === undefined) return true;
  const time = timeOf(entry);
  return (since === undefined || time >= since) && (until === undefined || time <= until);
}
