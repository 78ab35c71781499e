/** The thread behind `startHashWorker`: hashes what appears in the ring until the end mark. */
import { createHash } from "node:crypto";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { ENDED, type HashRing, READ, WRITTEN } from "./hash-ring.ts";

/** Larger pieces hash no faster, and the writer would wait longer for room. */
const piece = 1 << 20;

export async function main(): Promise<number> {
  const ring = workerData as HashRing;
  const control = new Int32Array(ring.control);
  const data = new Uint8Array(ring.data);
  const hash = createHash("sha256");
  let read = 0;
  for (;;) {
    // The end mark is set after the last bytes: seen before an empty ring, there is nothing more.
    const ended = Atomics.load(control, ENDED) === 1;
    const written = Atomics.load(control, WRITTEN);
    const available = (written - read) >>> 0;
    if (available === 0) {
      if (ended) break;
      Atomics.wait(control, WRITTEN, written, 100);
      continue;
    }
    const start = (read >>> 0) % data.length;
    const size = Math.min(available, data.length - start, piece);
    hash.update(data.subarray(start, start + size));
    read = (read + size) | 0;
    Atomics.store(control, READ, read);
  }
  parentPort?.postMessage(`sha256:${hash.digest("hex")}`);
  return 0;
}

if (!isMainThread && import.meta.url.endsWith("/hash-worker.ts")) await main();
