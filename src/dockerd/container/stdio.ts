import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Monitor } from "../../monitor/index.ts";
import type { Daemon } from "../daemon.ts";
import type { Container } from "./container.ts";
import { logPath } from "./paths.ts";
import { parseSize } from "./validate.ts";

export interface StdioPaths {
  stdin: string;
  stdout: string;
  stderr: string;
}

export interface Stdio {
  paths: StdioPaths;
  /** Set with a foreign containerd, whose FIFOs the monitor has open already. */
  monitor?: Monitor;
}

export interface LogTarget {
  path: string;
  format: "json-file";
  maxSize?: number;
  maxFiles?: number;
}

/** Where a container's output is kept, undefined for the driver `none`. */
export function logTarget(daemon: Daemon, container: Container): LogTarget | undefined {
  const { Type, Config } = container.record.host.LogConfig;
  if (Type === "none") return undefined;
  const maxSize = Config?.["max-size"] === undefined ? -1 : parseSize(Config["max-size"]);
  const maxFiles = Number(Config?.["max-file"] ?? 1);
  return {
    path: logPath(daemon, container.id),
    format: "json-file",
    ...(maxSize > 0 ? { maxSize, maxFiles } : {}),
  };
}

/**
 * The streams of a process about to be made. Our shims start a monitor for `monitor://`; for a foreign containerd we
 * start one on FIFOs, so that everything after this is the same.
 */
export async function makeStdio(
  daemon: Daemon,
  options: { dir: string; terminal: boolean; stdin: boolean; log?: LogTarget; hold?: boolean },
): Promise<Stdio> {
  const { dir, terminal, stdin, log } = options;
  if (daemon.inProcess) {
    const query = new URLSearchParams();
    if (log) {
      query.set("log", log.path);
      query.set("format", log.format);
      if (log.maxSize !== undefined) query.set("max-size", String(log.maxSize));
      if (log.maxFiles !== undefined) query.set("max-file", String(log.maxFiles));
    }
    if (stdin) query.set("stdin", "1");
    if (options.hold) query.set("hold", "1");
    return { paths: { stdin: "", stdout: `monitor://${dir}?${query}`, stderr: "" } };
  }
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const fifos = {
    ...(stdin ? { stdin: join(dir, "stdin") } : {}),
    stdout: join(dir, "stdout"),
    ...(terminal ? {} : { stderr: join(dir, "stderr") }),
  };
  const monitor = await daemon.monitors.spawnFifo({ dir, terminal, stdin, fifos, ...(log ? { log } : {}) });
  return { paths: { stdin: fifos.stdin ?? "", stdout: fifos.stdout, stderr: fifos.stderr ?? "" }, monitor };
}

/** Ends the streams of a process that never came to be: a monitor whose FIFOs nobody opens would wait for ever. */
export function abandonStdio(stdio: Stdio): void {
  if (!stdio.monitor) return;
  try {
    process.kill(stdio.monitor.monitorPid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
  stdio.monitor.close();
}
