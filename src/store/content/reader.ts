import { closeSync, fstatSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import type { Digest } from "../../oci/digest.ts";
import type { ReaderAt } from "./types.ts";

const readAsync = promisify(read);
const chunkSize = 256 << 10;

/** Opens the blob file at `path`; throws the file system's own error when it is not there. */
export function openReader(path: string, digest: Digest): ReaderAt {
  const fd = openSync(path, "r");
  return new FileReader(fd, digest, fstatSync(fd).size);
}

class FileReader implements ReaderAt {
  #fd: number;
  /** Reads under way: the descriptor is closed only after the last one. */
  #busy = 0;
  #closed = false;
  readonly digest: Digest;
  readonly size: number;

  constructor(fd: number, digest: Digest, size: number) {
    this.#fd = fd;
    this.digest = digest;
    this.size = size;
  }

  async readAt(into: Uint8Array, offset: number): Promise<number> {
    if (this.#closed) throw new Error(`reader of ${this.digest} is closed`);
    this.#busy++;
    try {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await readAsync(this.#fd, into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    } finally {
      this.#busy--;
      this.#closeWhenIdle();
    }
  }

  stream(offset = 0, length = this.size - offset): ReadableStream<Uint8Array> {
    let at = offset;
    const end = Math.min(this.size, offset + length);
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const size = Math.min(chunkSize, end - at);
          if (size > 0) {
            const chunk = new Uint8Array(size);
            const got = await this.readAt(chunk, at);
            at += got;
            if (got < size) throw new Error(`content ${this.digest} ended at ${at} of ${this.size} bytes`);
            controller.enqueue(chunk);
          }
          if (at >= end) {
            this.close();
            controller.close();
          }
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 1 },
    );
  }

  close(): void {
    this.#closed = true;
    this.#closeWhenIdle();
  }

  #closeWhenIdle(): void {
    if (!this.#closed || this.#busy > 0 || this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
