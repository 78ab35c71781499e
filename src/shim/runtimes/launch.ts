import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isCode } from "../../base/errors.ts";
import { type Monitor, spawnMonitor } from "../../monitor/index.ts";
import type { Launched, MonitorPlace } from "../types.ts";

export interface Launch {
  /** The runtime with its global flags. */
  command: string[];
  /** `create`, `exec` or `restore` with their flags. */
  verb: string[];
  id: string;
  /** Takes the runtime's log and pid file. */
  work: string;
  monitor: MonitorPlace;
}

/**
 * Has a runtime's command line make a process below a monitor, which adopts it. When that fails, `explain` makes the error
 * of the last one in the runtime's log, if there is one, and what the monitor heard.
 */
export async function launchBelow(
  { command, verb, id, work, monitor }: Launch,
  explain: (logged: string | undefined, error: unknown) => Promise<Error>,
): Promise<Launched> {
  mkdirSync(work, { recursive: true, mode: 0o700 });
  const logFile = join(work, "log.json");
  const pidFile = join(work, "pid");
  rmSync(logFile, { force: true });
  rmSync(pidFile, { force: true });
  // Bundles lie deep, and a socket's path has 107 bytes: runtimes get it in a short place.
  using short = monitor.terminal ? temporaryDirectory() : undefined;
  const consoleSocket = short ? join(short.path, "console.sock") : undefined;
  const argv = [
    ...command,
    "--log",
    logFile,
    "--log-format",
    "json",
    ...verb,
    "--pid-file",
    pidFile,
    ...(consoleSocket ? ["--console-socket", consoleSocket] : []),
    id,
  ];
  let made: Monitor;
  try {
    made = await spawnMonitor({
      ...monitor,
      run: { kind: "runtime", argv, pidFile, ...(consoleSocket ? { consoleSocket } : {}) },
    });
  } catch (error) {
    throw await explain(lastError(logFile), error);
  }
  return { pid: made.pid, monitor: made };
}

export function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "corten-runtime-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function lastError(logFile: string): string | undefined {
  try {
    const lines = readFileSync(logFile, "utf8").trim().split("\n");
    for (const line of lines.reverse()) {
      const entry = JSON.parse(line) as { level?: string; msg?: string };
      if ((entry.level === "error" || entry.level === "fatal") && entry.msg) return entry.msg.trim();
    }
  } catch (error) {
    if (!isCode(error, "not_found")) return undefined;
  }
  return undefined;
}
