import { getPriority } from "node:os";
import { rawSyscall } from "./libc.ts";

/** SCHED_FLAG_RESET_ON_FORK: threads and processes made from here on are as all others. */
const resetOnFork = 1n;
/** As far as a daemon of the system may go before others, and some ten times the share of a process. */
const first = -10;

/**
 * Lets the calling thread go first: what a daemon does for each of many containers that start at once is little, all of it
 * is done by one thread, and everything waits for that. Neither other threads nor children take it over (containers least
 * of all). Nothing is changed when somebody has chosen a nice value for the daemon, or when it may not (CAP_SYS_NICE).
 * sched_setattr(2).
 */
export function goFirst(): void {
  if (getPriority() !== 0) return;
  const attributes = new DataView(new ArrayBuffer(48));
  attributes.setUint32(0, attributes.byteLength, true);
  attributes.setBigUint64(8, resetOnFork, true);
  attributes.setInt32(16, first, true);
  rawSyscall("sched_setattr", 0, new Uint8Array(attributes.buffer), 0);
}
