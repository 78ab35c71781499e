import { existsSync, readFileSync } from "node:fs";
import { sleep } from "../base/async.ts";
import { isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { connectMonitor, type ExitRecord, type Monitor, readExit } from "../monitor/index.ts";

/** The status of a process whose end nobody could see (its monitor was killed, too). */
const unknownExit = 255;

/** Field 22 of /proc/pid/stat, undefined for a process that is gone or a zombie. */
export function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

export interface Adopted {
  monitor?: Monitor;
  exited: Promise<ExitRecord>;
  /** It ended while nobody looked. */
  over: boolean;
}

/**
 * Finds a process again after a restart: through its monitor when that lives, through the exit record it left,
 * or (monitor killed, process alive) by watching the process itself, whose status is then not known.
 */
export async function adopt(
  monitorDir: string,
  pid: number,
  startTime: string | undefined,
): Promise<Adopted> {
  try {
    const monitor = await connectMonitor(monitorDir);
    return { monitor, exited: monitor.exited, over: false };
  } catch (error) {
    if (!isCode(error, "not_found") && !isCode(error, "unavailable"))
      log.warn(`cannot reach the monitor in ${monitorDir}`, { error: messageOf(error) });
  }
  const record = readExit(monitorDir);
  if (record) return { exited: Promise.resolve(record), over: true };
  const over = pid === 0 || startTime === undefined || startTimeOf(pid) !== startTime;
  return { exited: watch(monitorDir, pid, startTime), over };
}

async function watch(monitorDir: string, pid: number, startTime: string | undefined): Promise<ExitRecord> {
  while (pid > 0 && startTime !== undefined && startTimeOf(pid) === startTime) await sleep(250);
  return (
    (existsSync(monitorDir) ? readExit(monitorDir) : undefined) ?? {
      exitCode: unknownExit,
      exitedAt: new Date().toISOString(),
      oomKilled: false,
      error: "the monitor ended before the process",
    }
  );
}

/** Ends the process of a monitor that nobody recorded, if there is one, and waits for its end. */
export async function endUnrecorded(monitorDir: string): Promise<void> {
  if (!existsSync(monitorDir) || readExit(monitorDir)) return;
  let monitor: Monitor;
  try {
    monitor = await connectMonitor(monitorDir);
  } catch (error) {
    if (!isCode(error, "not_found") && !isCode(error, "unavailable")) throw error;
    return;
  }
  try {
    await monitor.signal(9);
    // Output may be held for a client that went with the daemon: the monitor would wait for it.
    const attachment = await monitor
      .attach({ stdin: false, stdout: false, stderr: false })
      .catch(() => undefined);
    attachment?.close();
    await Promise.race([monitor.exited, sleep(5000)]);
  } finally {
    monitor.close();
  }
}
