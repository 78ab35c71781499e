import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Monitor, spawnMonitor } from "../../monitor/index.ts";
import { syscall } from "../../sys/libc.ts";
import { AT_FDCWD } from "../../sys/stat.ts";
import type { ContainerdParts } from "./context.ts";

/** S_IFIFO, for us and the shim alone. */
const fifoMode = 0o010600;

export interface Stdio {
  paths: { stdin: string; stdout: string; stderr: string };
  /** With a foreign containerd: the one on its FIFOs, which are open already. */
  monitor?: Monitor;
}

/** The streams of a process about to be made: our shims start a monitor by themselves, for others one waits on FIFOs. */
export async function makeStdio(
  context: ContainerdParts,
  options: { dir: string; terminal: boolean; stdin: boolean; log?: string; hold?: boolean },
): Promise<Stdio> {
  const { dir, terminal, stdin } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (context.own) {
    const query = new URLSearchParams();
    if (options.log !== undefined) {
      query.set("log", options.log);
      query.set("format", "cri");
    }
    if (stdin) query.set("stdin", "1");
    if (options.hold) query.set("hold", "1");
    return { paths: { stdin: "", stdout: `monitor://${dir}?${query}`, stderr: "" } };
  }
  const fifos = {
    ...(stdin ? { stdin: join(dir, "stdin") } : {}),
    stdout: join(dir, "stdout"),
    ...(terminal ? {} : { stderr: join(dir, "stderr") }),
  };
  for (const path of Object.values(fifos)) syscall("mknodat", [AT_FDCWD, path, fifoMode, 0], `FIFO ${path}`);
  const monitor = await spawnMonitor({
    dir,
    run: { kind: "fifo" },
    terminal,
    stdin,
    fifos,
    ...(options.hold ? { hold: true } : {}),
    ...(options.log === undefined ? {} : { log: { path: options.log, format: "cri" } }),
  });
  return { paths: { stdin: fifos.stdin ?? "", stdout: fifos.stdout, stderr: fifos.stderr ?? "" }, monitor };
}

/** Ends the streams of a process that never came to be: a monitor whose FIFOs nobody opens would wait for ever. */
export function abandonStdio({ monitor }: Stdio): void {
  if (!monitor) return;
  try {
    process.kill(monitor.monitorPid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
  monitor.close();
}
