import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { HealthConfig } from "../../engine/types.ts";
import type { Daemon } from "../daemon.ts";
import { addExec } from "../exec/create.ts";
import { runExec } from "../exec/run.ts";
import { now } from "../time.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./events.ts";

const outputLimit = 4096;
const kept = 5;
const defaults = { interval: 30e9, timeout: 30e9, startPeriod: 0, startInterval: 5e9, retries: 3 };

/** The command of a check, undefined when there is none. */
export function healthCommand(
  health: HealthConfig | null | undefined,
  shell: string[] | null | undefined,
): string[] | undefined {
  const [kind, ...rest] = health?.Test ?? [];
  if (kind === "CMD") return rest;
  if (kind === "CMD-SHELL") return [...(shell && shell.length > 0 ? shell : ["/bin/sh", "-c"]), ...rest];
  return undefined;
}

/** Begins the health checks of a container that has just started, or was found running. */
export function startHealth(daemon: Daemon, container: Container): void {
  container.stopHealth?.();
  const { config, state } = container.record;
  const command = healthCommand(config.Healthcheck, config.Shell);
  if (!command) {
    delete state.health;
    return;
  }
  state.health ??= { Status: "starting", FailingStreak: 0, Log: [] };
  state.health.Status = "starting";
  state.health.FailingStreak = 0;
  const health = config.Healthcheck!;
  const milliseconds = (value: number | undefined, fallback: number) => (value || fallback) / 1e6;
  const interval = milliseconds(health.Interval, defaults.interval);
  const startInterval = milliseconds(health.StartInterval, defaults.startInterval);
  const startEnds = Date.now() + milliseconds(health.StartPeriod, defaults.startPeriod);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const schedule = () => {
    const starting = state.health?.Status === "starting" && Date.now() < startEnds;
    timer = setTimeout(check, starting ? Math.min(startInterval, interval) : interval);
  };
  const check = async () => {
    const result = await probe(
      daemon,
      container,
      command,
      milliseconds(health.Timeout, defaults.timeout),
    ).catch((error) => ({ start: now(), end: now(), exitCode: -1, output: messageOf(error) }));
    if (stopped || !state.running || !state.health) return;
    record(daemon, container, result, health.Retries || defaults.retries, Date.now() < startEnds);
    schedule();
  };
  container.stopHealth = () => {
    stopped = true;
    clearTimeout(timer);
  };
  schedule();
}

interface Probe {
  start: string;
  end: string;
  exitCode: number;
  output: string;
}

async function probe(
  daemon: Daemon,
  container: Container,
  command: string[],
  timeout: number,
): Promise<Probe> {
  const start = now();
  const exec = addExec(daemon, container, { Cmd: command, AttachStdout: true, AttachStderr: true });
  exec.started = true;
  const attachment = await runExec(daemon, container, exec, { attach: true });
  let output = "";
  for (const stream of [attachment?.stdout, attachment?.stderr])
    stream?.on("data", (chunk: Uint8Array) => {
      if (output.length < outputLimit) output += Buffer.from(chunk).toString("utf8");
    });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    daemon.containerd.tasks
      .kill({ containerId: container.id, execId: exec.id, signal: 9 })
      .catch((error) => log.debug("cannot end a health check", { error: messageOf(error) }));
  }, timeout);
  await exec.ended();
  clearTimeout(timer);
  container.execs.delete(exec.id);
  daemon.execs.remove(exec);
  return {
    start,
    end: now(),
    exitCode: late ? -1 : (exec.exitCode ?? -1),
    output: late
      ? `Health check exceeded timeout (${timeout / 1000}s)${output ? `: ${output}` : ""}`
      : output.slice(0, outputLimit),
  };
}

function record(
  daemon: Daemon,
  container: Container,
  probe: Probe,
  retries: number,
  starting: boolean,
): void {
  const health = container.state.health!;
  const before = health.Status;
  health.Log = [
    ...(health.Log ?? []).slice(1 - kept),
    { Start: probe.start, End: probe.end, ExitCode: probe.exitCode, Output: probe.output },
  ];
  if (probe.exitCode === 0) {
    health.FailingStreak = 0;
    health.Status = "healthy";
  } else if (before !== "starting" || !starting) {
    health.FailingStreak++;
    if (health.FailingStreak >= retries) health.Status = "unhealthy";
  }
  daemon.containers.save(container);
  if (health.Status !== before) containerEvent(daemon, container, `health_status: ${health.Status}`);
}
