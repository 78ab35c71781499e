import { adopt, endUnrecorded } from "../../shim/exit.ts";
import { openRuntime } from "../../shim/runtimes/choose.ts";
import { conmonRuntime } from "../conmon/runtime.ts";
import type { MonitoredRuntime, ProcessChoice } from "./types.ts";

/** The runtime of a choice, under its monitor. `discard` takes the state directories of removed containers away. */
export function openMonitored(choice: ProcessChoice, discard: (path: string) => void): MonitoredRuntime {
  const runtime = openRuntime(choice.runtime, discard);
  if (choice.conmon) return conmonRuntime(runtime, choice.runtime, choice.conmon);
  return {
    ...runtime,
    // Our monitor is told by the client at the end of its input.
    create: ({ monitor: { stdinOnce: _, ...monitor }, ...request }) =>
      runtime.create({ ...request, monitor }),
    adopt: (_, dir, pid, startTime) => adopt(dir, pid, startTime),
    endUnrecorded: (_, dir) => endUnrecorded(dir),
    forget: () => {},
  };
}
