import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Monitor, spawnMonitor } from "../monitor/index.ts";
import { syscall } from "../sys/libc.ts";
import { AT_FDCWD } from "../sys/stat.ts";
import { destinationOf, type Stdio } from "./stdio.ts";

/** S_IFIFO, for us and the shim alone. */
const fifoMode = 0o010600;

export interface MonitoredFifos {
  stdio: Stdio;
  /** Ends what waits for a process that never came to be. */
  abandon(): void;
}

/**
 * The streams of a process in a shim of its own. Our clients ask for a monitor (`monitor://`), which such a shim does
 * not know: it gets FIFOs, with the monitor on their other ends. All else it understands by itself.
 */
export async function monitoredFifos(stdio: Stdio): Promise<MonitoredFifos> {
  if (!stdio.stdout.startsWith("monitor://")) return { stdio, abandon: () => {} };
  const destination = destinationOf(stdio, "");
  const { dir, terminal } = destination;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const fifos = {
    ...(destination.stdin ? { stdin: join(dir, "stdin") } : {}),
    stdout: join(dir, "stdout"),
    ...(terminal ? {} : { stderr: join(dir, "stderr") }),
  };
  for (const path of Object.values(fifos)) {
    rmSync(path, { force: true });
    syscall("mknodat", [AT_FDCWD, path, fifoMode, 0], `FIFO ${path}`);
  }
  const monitor = await spawnMonitor({ ...destination, run: { kind: "fifo" }, fifos });
  // It lives without us; whoever knows the directory connects to it.
  monitor.close();
  return {
    stdio: { stdin: fifos.stdin ?? "", stdout: fifos.stdout, stderr: fifos.stderr ?? "", terminal },
    abandon: () => end(monitor),
  };
}

function end(monitor: Monitor): void {
  try {
    process.kill(monitor.monitorPid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
