import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../../base/async.ts";
import { syscall } from "../../sys/libc.ts";

/** One process's FIFOs, connected to our own standard streams. Works with any containerd on this machine. */
export class FifoSet implements Disposable {
  readonly #directory: string;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly #readers: Array<{ fd: number; to: NodeJS.WriteStream }> = [];
  #copies: Array<Promise<void>> = [];

  constructor(parent: string, id: string, terminal: boolean) {
    mkdirSync(parent, { recursive: true, mode: 0o711 });
    this.#directory = mkdtempSync(join(parent, "fifo-"));
    const make = (name: string) => {
      const path = join(this.#directory, `${id}-${name}`);
      syscall("mknodat", [-100, path, 0o010600, 0], path);
      return path;
    };
    this.stdin = make("stdin");
    this.stdout = make("stdout");
    this.stderr = terminal ? "" : make("stderr");
    // Open before the task is made: containerd's shim waits for a reader when it opens its end.
    for (const [path, to] of [
      [this.stdout, process.stdout],
      [this.stderr, process.stderr],
    ] as const)
      if (path !== "")
        this.#readers.push({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), to });
  }

  /** Begins to copy, once the task is made (and holds the other ends). */
  copy(onInputEnd: () => void): void {
    this.#copies = this.#readers.map(async ({ fd, to }) => {
      // node:fs cannot wait for data on a FIFO that does not block; Bun's file streams poll.
      for await (const data of Bun.file(fd).stream() as unknown as AsyncIterable<Uint8Array>)
        if (!to.write(data)) await new Promise((drained) => to.once("drain", drained));
    });
    // Our end closes standard input under the copy: that is no failure.
    void this.#copyInput()
      .catch(() => {})
      .finally(onInputEnd);
  }

  async #copyInput(): Promise<void> {
    let fd: number;
    try {
      fd = openSync(this.stdin, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      return;
    }
    try {
      for await (const data of process.stdin as AsyncIterable<Buffer>) {
        for (let at = 0; at < data.length; ) {
          try {
            at += writeSync(fd, data, at);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
            await sleep(5);
          }
        }
      }
    } finally {
      closeSync(fd);
    }
  }

  /** Resolves when all output has been written. */
  async drained(): Promise<void> {
    await Promise.all(this.#copies);
  }

  [Symbol.dispose](): void {
    process.stdin.destroy();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
