import { closeSync, openSync } from "node:fs";
import { sleep } from "../base/async.ts";
import { log } from "../base/log.ts";
import type { MonitorSpec } from "../monitor/index.ts";
import { O_CLOEXEC, O_NONBLOCK, O_WRONLY } from "../sys/open.ts";

/** How long a client may take to open what it has named. */
const patience = 10_000;

/**
 * Waits until the client has the outputs' FIFOs open for reading, as Go's shim does before it starts a process; disposed of when
 * the monitor has opened them itself. A monitor opens them for both directions and waits for nobody: what a short process
 * says before its reader is there would be gone with the monitor. A client that does not come is not waited for for ever.
 */
export async function awaitReaders(
  fifos: MonitorSpec["fifos"],
  milliseconds = patience,
): Promise<Disposable> {
  const held: number[] = [];
  const until = Date.now() + milliseconds;
  for (const path of [fifos?.stdout, fifos?.stderr]) {
    if (!path) continue;
    let file = openedByReader(path);
    for (let wait = 1; file === "not yet" && Date.now() < until; wait = Math.min(wait * 2, 20)) {
      await sleep(wait);
      file = openedByReader(path);
    }
    if (typeof file === "number") held.push(file);
    else if (file === "not yet") log.warn("nobody reads an output", { path });
  }
  return {
    [Symbol.dispose]() {
      for (const file of held.splice(0)) closeSync(file);
    },
  };
}

/** A FIFO without a reader cannot be opened for writing alone. What is wrong otherwise the monitor says itself. */
function openedByReader(path: string): number | "not yet" | undefined {
  try {
    return openSync(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENXIO" ? "not yet" : undefined;
  }
}
