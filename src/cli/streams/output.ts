/** stdout and stderr by file descriptor: touching `process.stdout` costs 13 ms, which most verbs never need. */
import { fs } from "../../base/lazy.ts";

/** What a shell reports for a program that SIGPIPE ended. */
const brokenPipeExit = 141;

/** Loads what writing needs once the request under way has been sent: the daemon's time, not the user's. */
export function prepareOutput(): void {
  setImmediate(fs);
}

export class Output {
  readonly fd: number;
  #terminal: boolean | undefined;
  constructor(fd: number) {
    this.fd = fd;
  }

  /** Writes all of it before returning. */
  write(data: string | Uint8Array): void {
    let bytes = typeof data === "string" ? Buffer.from(data) : data;
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(fs().writeSync(this.fd, bytes));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EPIPE") process.exit(brokenPipeExit);
        if (code !== "EAGAIN") throw error;
        Bun.sleepSync(2);
      }
    }
  }

  line(text: string): void {
    this.write(`${text}\n`);
  }

  /** Writes without holding up signals and other streams: for output that may be long. */
  async pour(data: Uint8Array): Promise<void> {
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
