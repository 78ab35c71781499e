/** Prints a log file as `crictl logs` does, and goes on with what is added when asked to. */
import {
  closeSync,
  type FSWatcher,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  watch,
} from "node:fs";
import { dirname } from "node:path";
import { goQuote } from "../../cli/format/quote.ts";
import { log } from "../log.ts";
import { fixedWidth, type LineParser, nanoseconds, parserFor } from "./parse.ts";

export interface LogOptions {
  follow: boolean;
  timestamps: boolean;
  /** Nanoseconds since 1970. */
  since: bigint;
  /** Lines from the end; negative for all. */
  tail: number;
  /** Negative for no limit. */
  limitBytes: number;
  write(stream: "stdout" | "stderr", bytes: Uint8Array): void;
  /** Whether more may come. */
  running(): Promise<boolean>;
  signal: AbortSignal;
}

const newline = 0x0a;
const chunkSize = 64 << 10;
/** A change that nobody told us of is seen after this time. */
const checkPeriod = 1000;

export async function readLogs(file: string, options: LogOptions): Promise<void> {
  let path: string;
  try {
    path = realpathSync(file);
  } catch (error) {
    throw new Error(
      `failed to try resolving symlinks in path ${goQuote(file)}: lstat ${(error as NodeJS.ErrnoException).path ?? file}: no such file or directory`,
      { cause: error },
    );
  }
  if (options.limitBytes === 0) return;
  let fd = openSync(path, "r");
  const printer = new Printer(options);
  let watcher: FSWatcher | undefined;
  try {
    let reader = new LineReader(fd, tailStart(fd, options.tail));
    let more = true;
    while (!options.signal.aborted) {
      const line = reader.next();
      if (line) {
        if (!printer.print(line)) return;
        continue;
      }
      if (!options.follow) {
        const rest = reader.rest();
        if (rest.length > 0) printer.print(rest);
        return;
      }
      if (!more) return;
      watcher ??= watch(dirname(path));
      more = await options.running();
      if (more) await change(watcher, options.signal);
      // What was written to the old file before it was moved away is read first.
      if (replaced(fd, path) && !reader.fill()) {
        closeSync(fd);
        fd = openSync(path, "r");
        reader = new LineReader(fd, 0);
      }
    }
  } finally {
    watcher?.close();
    closeSync(fd);
  }
}

function replaced(fd: number, path: string): boolean {
  try {
    return statSync(path).ino !== fstatSync(fd).ino;
  } catch {
    // Moved away, and not made again yet.
    return false;
  }
}

function change(watcher: FSWatcher, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      watcher.off("change", end);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, checkPeriod);
    watcher.on("change", end);
    signal.addEventListener("abort", end);
  });
}

/** Where the last `lines` lines begin. */
export function tailStart(fd: number, lines: number): number {
  if (lines < 0) return 0;
  const { size } = fstatSync(fd);
  if (lines === 0) return size;
  const chunk = new Uint8Array(chunkSize);
  let wanted = lines;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunkSize);
    const count = readSync(fd, chunk, 0, end - start, start);
    for (let at = count - 1; at >= 0; at--) {
      // The end of the last line begins no line.
      if (chunk[at] !== newline || start + at === size - 1) continue;
      if (--wanted === 0) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

/** Whole lines of a file that may grow. */
class LineReader {
  readonly #fd: number;
  #position: number;
  #buffer = Buffer.alloc(0);
  constructor(fd: number, position: number) {
    this.#fd = fd;
    this.#position = position;
  }

  /** The next line with its end, or undefined when there is none yet. */
  next(): Uint8Array | undefined {
    let from = 0;
    for (;;) {
      const end = this.#buffer.indexOf(newline, from);
      if (end >= 0) {
        const line = this.#buffer.subarray(0, end + 1);
        this.#buffer = this.#buffer.subarray(end + 1);
        return line;
      }
      from = this.#buffer.length;
      if (!this.fill()) return undefined;
    }
  }

  /** A last line without an end. */
  rest(): Uint8Array {
    return this.#buffer;
  }

  /** Reads on; false at the end of the file. */
  fill(): boolean {
    const chunk = Buffer.allocUnsafe(chunkSize);
    const count = readSync(this.#fd, chunk, 0, chunkSize, this.#position);
    this.#position += count;
    if (count > 0) this.#buffer = Buffer.concat([this.#buffer, chunk.subarray(0, count)]);
    return count > 0;
  }
}

class Printer {
  readonly #options: LogOptions;
  #parse: LineParser | undefined;
  #remain: number;
  #lines: number;
  #atStart = true;
  constructor(options: LogOptions) {
    this.#options = options;
    this.#remain = options.limitBytes < 0 ? Number.POSITIVE_INFINITY : options.limitBytes;
    this.#lines = options.tail < 0 || options.follow ? Number.POSITIVE_INFINITY : options.tail;
  }

  /** False when no more is wanted. */
  print(line: Uint8Array): boolean {
    if (this.#lines <= 0) return false;
    this.#parse ??= parserFor(line);
    let parsed: ReturnType<LineParser>;
    try {
      parsed = this.#parse(line);
    } catch (error) {
      log("error", `Failed when parsing line in log file: ${(error as Error).message}`);
      return true;
    }
    const { since, timestamps, write } = this.#options;
    if (nanoseconds(parsed.time) >= since) {
      let bytes = parsed.text;
      if (timestamps && this.#atStart)
        bytes = Buffer.concat([Buffer.from(`${fixedWidth(parsed.time)} `), bytes]);
      if (bytes.length > this.#remain) bytes = bytes.subarray(0, this.#remain);
      write(parsed.stream, bytes);
      this.#remain -= bytes.length;
      if (this.#remain <= 0) return false;
    }
    this.#lines--;
    this.#atStart = parsed.text.length === 0 || parsed.text.at(-1) === newline;
    return true;
  }
}
