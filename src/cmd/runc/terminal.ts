import { closeSync, read, writeSync } from "node:fs";
import { messagePair, receiveDescriptor, setTerminalSize } from "../../sys/descriptors.ts";

/**
 * A foreground container's terminal: its master end comes over a socket pair, ours is put into raw mode, and
 * bytes and sizes go to and fro. It works the same, without a size, when our own stdin is no terminal.
 */
export class ForegroundTerminal {
  /** For the plan; the init sends the master here. */
  readonly childEnd: number;
  readonly #ourEnd: number;
  #master = -1;
  #output: Promise<void> | undefined;
  #ended = false;
  readonly #resize = () => {
    const { rows, columns } = process.stdout.isTTY ? process.stdout : { rows: 0, columns: 0 };
    if (rows && columns && this.#master >= 0) setTerminalSize(this.#master, rows, columns);
  };

  constructor() {
    [this.#ourEnd, this.childEnd] = messagePair();
  }

  /** After the launch: the message with the master is there already. */
  begin(): void {
    this.#master = receiveDescriptor(this.#ourEnd);
    this.#resize();
    process.on("SIGWINCH", this.#resize);
    if (process.stdin.isTTY) process.stdin.setRawMode(true);
    process.stdin.on("data", this.#input);
    process.stdin.on("end", this.#endOfInput);
    process.stdin.resume();
    this.#output = this.#copyOutput();
  }

  readonly #input = (chunk: Buffer) => {
    if (this.#ended) return;
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#master, chunk, at);
    } catch {
      // The other end is gone: its exit is what ends us.
    }
  };
  /** Our stdin's end is the terminal's end-of-file character. */
  readonly #endOfInput = () => this.#input(Buffer.from([4]));

  #copyOutput(): Promise<void> {
    return new Promise((done) => {
      const buffer = Buffer.alloc(65536);
      const next = () =>
        read(this.#master, buffer, 0, buffer.length, null, (error, count) => {
          // EIO: no process has the other end open any more.
          if (error || count === 0) return done();
          process.stdout.write(buffer.subarray(0, count), () => next());
          return undefined;
        });
      next();
    });
  }

  /** After the exit: what was written before it is still to be shown. */
  async finish(): Promise<void> {
    // A process that outlives the container's first one may hold the terminal open: do not wait for it for long.
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((done) => {
      timer = setTimeout(done, 500);
    });
    await Promise.race([this.#output, patience]);
    clearTimeout(timer);
    this.close();
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    process.off("SIGWINCH", this.#resize);
    process.stdin.off("data", this.#input);
    process.stdin.off("end", this.#endOfInput);
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdin.pause();
    for (const fd of [this.#ourEnd, this.childEnd, this.#master]) if (fd >= 0) closeSync(fd);
  }
}
