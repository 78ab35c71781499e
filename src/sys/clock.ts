import { nowNano } from "../base/trace.ts";
import { syscall } from "./libc.ts";

const monotonicClock = 1;

/** CLOCK_MONOTONIC in nanoseconds, the clock of the native part (process.hrtime counts from the process's start here). */
function monotonicNow(): bigint {
  const time = new BigInt64Array(2);
  syscall("clock_gettime", [monotonicClock, new Uint8Array(time.buffer)], "CLOCK_MONOTONIC");
  return time[0]! * 1_000_000_000n + time[1]!;
}

/** Gives a function that turns CLOCK_MONOTONIC readings into the Unix nanoseconds of traces. */
export function monotonicToUnix(): (nanoseconds: bigint) => bigint {
  const offset = nowNano() - monotonicNow();
  return (nanoseconds) => nanoseconds + offset;
}
