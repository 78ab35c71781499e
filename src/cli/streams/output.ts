/** stdout and stderr by file descriptor: touching `process.stdout` costs 13 ms, which most verbs never need. */
import { fs } from "../../base/lazy.ts";

/** What a shell reports for a program that SIGPIPE ended. */
const brokenPipeExit = 141;

/**
 * Most commands write no more than this at a time: by Bun's own sink, for `node:fs` costs 1.5 ms to load. More is written
 * by `node:fs`, which waits where a pipe is full.
 */
const little = 4096;

/** What a pipe did not take at once, by file descriptor. */
const unwritten = new Map<number, Promise<unknown>>();

/** For the end of the program to wait for: undefined, as a rule, when all has been written. */
export function stillWriting(): Promise<unknown> | undefined {
  return unwritten.size > 0 ? Promise.all(unwritten.values()) : undefined;
}

function endAtBrokenPipe(error: unknown): never {
  if ((error as NodeJS.ErrnoException).code === "EPIPE") process.exit(brokenPipeExit);
  throw error;
}

export class Output {
  readonly fd: number;
  #sink: Bun.FileSink | undefined;
  #pending: Promise<unknown> | undefined;
  #terminal: boolean | undefined;
  constructor(fd: number) {
    this.fd = fd;
  }

  /** Writes all of it before returning; behind `#pending`, should there be any. */
  write(data: string | Uint8Array): void {
    if (this.#pending || data.length <= little) {
      this.#pour(data);
      return;
    }
    let bytes = typeof data === "string" ? Buffer.from(data) : data;
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(fs().writeSync(this.fd, bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") endAtBrokenPipe(error);
        Bun.sleepSync(2);
      }
    }
  }

  line(text: string): void {
    this.write(`${text}\n`);
  }

  #pour(data: string | Uint8Array): void {
    try {
      this.#sink ??= Bun.file(this.fd).writer();
      this.#sink.write(data);
      const flushed = this.#sink.flush();
      if (flushed instanceof Promise) {
        this.#pending = flushed.catch(endAtBrokenPipe);
        unwritten.set(this.fd, this.#pending);
      }
    } catch (error) {
      endAtBrokenPipe(error);
    }
  }

  /** Writes without holding up signals and other streams: for output that may be long. */
  async pour(data: Uint8Array): Promise<void> {
    if (data.length <= little) this.#pour(data);
    if (this.#pending) await this.#pending;
    if (data.length <= little) return;
    let bytes = data;
    while (bytes.length > 0) {
      const written = await new Promise<number>((resolve, reject) =>
        fs().write(this.fd, bytes, (error, count) => (error ? reject(error) : resolve(count))),
      ).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code === "EPIPE") process.exit(brokenPipeExit);
        if (error.code !== "EAGAIN") throw error;
        await Bun.sleep(2);
        return 0;
      });
      bytes = bytes.subarray(written);
    }
  }

  get isTerminal(): boolean {
    this.#terminal ??= isTerminal(this.fd);
    return this.#terminal;
  }

  /** Rows and columns, zeros when this is no terminal. */
  size(): { rows: number; columns: number } {
    if (!this.isTerminal) return { rows: 0, columns: 0 };
    const stream = this.fd === 2 ? process.stderr : process.stdout;
    const [columns, rows] = stream.getWindowSize?.() ?? [0, 0];
    return { rows, columns };
  }
}

/** True for a terminal. Only a character device that looks like one is worth the cost of asking `node:tty`. */
export function isTerminal(fd: number): boolean {
  try {
    if (!fs().fstatSync(fd).isCharacterDevice()) return false;
    if (fs().readlinkSync(`/proc/self/fd/${fd}`) === "/dev/null") return false;
  } catch {
    return false;
  }
  return (require("node:tty") as typeof import("node:tty")).isatty(fd);
}
