import { recordSpan, traceparent } from "../base/trace.ts";
import type { StepTiming } from "../monitor/index.ts";
import { monotonicToUnix } from "../sys/clock.ts";

/** Adds the native machine's steps as spans of layer "init" to the current trace, if there is one. */
export function recordSteps(timings: readonly StepTiming[]): void {
  if (!traceparent()) return;
  const unix = monotonicToUnix();
  for (const { name, start, end } of timings) recordSpan("init", name, unix(start), unix(end));
}
