/**
 * sha256 on a thread of its own. Without SHA instructions hashing a layer takes as long as everything else, so
 * it runs beside it: the bytes go through a ring in shared memory, one side writes, the other hashes.
 */

import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { internal, messageOf } from "../../base/errors.ts";
import { hashProgram, isCompiled } from "./spawn.ts";
import type { LayerHash } from "./unpack.ts";

/** Positions in the control words: bytes written, bytes read (both wrap at 2^32), and the end mark. */
export const WRITTEN = 0;
export const READ = 1;
export const ENDED = 2;

/** A power of two, so that positions that wrap at 2^32 still fall into place. */
const ringSize = 32 << 20;

export interface HashRing {
  control: SharedArrayBuffer;
  data: SharedArrayBuffer;
}

/** Starts the worker. Its thread ends after `digest()`, or with the process. */
export function startHashWorker(): LayerHash {
  const ring: HashRing = { control: new SharedArrayBuffer(16), data: new SharedArrayBuffer(ringSize) };
  const control = new Int32Array(ring.control);
  const data = new Uint8Array(ring.data);
  const entry = isCompiled ? process.argv[1]! : fileURLToPath(new URL("./hash-worker.ts", import.meta.url));
  const worker = new Worker(entry, { workerData: ring, argv: isCompiled ? [hashProgram] : [] });
  const result = new Promise<string>((done, fail) => {
    worker.once("message", (message) => done(String(message)));
    worker.once("error", (error) => fail(internal(`the hash worker failed: ${messageOf(error)}`, error)));
    worker.once("exit", () => fail(internal("the hash worker ended without a result")));
  });
  result.catch(() => {});
  let written = 0;
  const free = () => ringSize - ((written - Atomics.load(control, READ)) >>> 0);

  return {
    async update(chunk) {
      for (let at = 0; at < chunk.length; ) {
        while (free() === 0) await room(control, result);
        const start = (written >>> 0) % ringSize;
        const size = Math.min(chunk.length - at, free(), ringSize - start);
        data.set(chunk.subarray(at, at + size), start);
        written = (written + size) | 0;
        Atomics.store(control, WRITTEN, written);
        Atomics.notify(control, WRITTEN);
        at += size;
      }
    },
    async digest() {
      Atomics.store(control, ENDED, 1);
      Atomics.notify(control, WRITTEN);
      return await result;
    },
  };
}

/** Waits a little for the worker to catch up, or for it to have failed. */
async function room(control: Int32Array, result: Promise<string>): Promise<void> {
  const read = Atomics.load(control, READ);
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    result,
    new Promise<void>((done) => {
      timer = setTimeout(done, 1);
    }),
  ]);
  clearTimeout(timer);
  if (Atomics.load(control, READ) === read) Atomics.notify(control, WRITTEN);
}
