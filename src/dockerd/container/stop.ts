import { CortenError, conflict, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Daemon } from "../daemon.ts";
import { now } from "../time.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./events.ts";
import { parseSignal } from "./signals.ts";
import { cancelRestart } from "./start.ts";

const sigkill = 9;
const sigterm = 15;
const defaultTimeout = 10;

const stopSignalOf = (container: Container): number => {
  const text = container.record.config.StopSignal;
  return text ? parseSignal(text) : sigterm;
};

/** SIGTERM (or what the container says), patience, SIGKILL. `timeout` in seconds, negative for endless patience. */
export async function stopContainer(
  daemon: Daemon,
  container: Container,
  options: { timeout?: number; signal?: string } = {},
): Promise<void> {
  const { record } = container;
  if (!container.state.running) throw new CortenError("not_modified", "container is already stopped");
  const signal = options.signal ? parseSignal(options.signal) : stopSignalOf(container);
  const timeout = options.timeout ?? record.config.StopTimeout ?? defaultTimeout;
  container.stopping = true;
  record.manuallyStopped = true;
  if (await endRestart(daemon, container)) {
    containerEvent(daemon, container, "stop");
    return;
  }
  daemon.containers.save(container);
  const ended = container.waitFor("not-running");
  await sendSignal(daemon, container, signal).catch((error) => {
    if (!isCode(error, "not_found"))
      log.warn("cannot signal a container", { id: container.id, error: messageOf(error) });
  });
  if (container.state.paused) await resumeQuietly(daemon, container);
  if (!(await within(ended, timeout < 0 ? Number.POSITIVE_INFINITY : timeout * 1000))) {
    log.info("container did not stop in time, killing it", { id: container.id, timeout });
    await killAndWait(daemon, container);
  }
  containerEvent(daemon, container, "stop");
}

/** A container between two runs has no process to signal: its next run is called off. True when it was one. */
async function endRestart(daemon: Daemon, container: Container): Promise<boolean> {
  if (!container.state.restarting) return false;
  return daemon.locks.run(container.id, async () => {
    if (!container.state.restarting) return !container.state.running;
    cancelRestart(container);
    container.state.running = false;
    container.state.restarting = false;
    container.state.finishedAt = now();
    container.stopping = false;
    daemon.containers.save(container);
    container.announce("next-exit", "not-running");
    return true;
  });
}

/** SIGKILL, and its end. */
export async function killAndWait(daemon: Daemon, container: Container): Promise<void> {
  container.stopping = true;
  if (await endRestart(daemon, container)) return;
  const ended = container.waitFor("not-running");
  for (let attempt = 0; attempt < 3 && container.state.running; attempt++) {
    await sendSignal(daemon, container, sigkill).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
    // Frozen processes do not die on cgroup v1.
    if (container.state.paused) await resumeQuietly(daemon, container);
    if (await within(ended, 10_000)) return;
  }
  if (container.state.running)
    throw new CortenError("internal", "tried to kill container, but did not receive an exit event");
}

/** `docker kill`: any signal to the main process. */
export async function killContainer(daemon: Daemon, container: Container, signalText: string): Promise<void> {
  const signal = signalText === "" ? sigkill : parseSignal(signalText);
  const { record } = container;
  if (!container.state.running) throw notRunning(container);
  const ends = signal === sigkill || !record.config.StopSignal || stopSignalOf(container) === signal;
  if (container.state.restarting) {
    if (signal === sigkill || ends) await endRestart(daemon, container);
    else
      throw conflict(
        `cannot kill container: ${container.name}: Container ${container.id} is restarting, wait until the container is running`,
      );
    containerEvent(daemon, container, "kill", { signal: String(signal) });
    return;
  }
  record.manuallyStopped = true;
  if (ends) container.stopping = true;
  daemon.containers.save(container);
  try {
    if (signal === sigkill) {
      containerEvent(daemon, container, "kill", { signal: String(signal) });
      await killAndWait(daemon, container);
    } else await sendSignal(daemon, container, signal);
  } catch (error) {
    if (isCode(error, "not_found")) throw notRunning(container);
    throw error;
  }
  if (signal !== sigkill && ends && container.state.paused) await resumeQuietly(daemon, container);
}

const notRunning = (container: Container) =>
  conflict(`cannot kill container: ${container.name}: container ${container.id} is not running`);

async function sendSignal(daemon: Daemon, container: Container, signal: number): Promise<void> {
  if (signal !== sigkill) containerEvent(daemon, container, "kill", { signal: String(signal) });
  await daemon.containerd.tasks.kill({ containerId: container.id, signal });
}

async function resumeQuietly(daemon: Daemon, container: Container): Promise<void> {
  try {
    await daemon.containerd.tasks.resume({ containerId: container.id });
    container.state.paused = false;
  } catch (error) {
    log.warn("cannot resume a container that is to end", { id: container.id, error: messageOf(error) });
  }
}

/** True when the promise settles in time. */
function within(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer =
      milliseconds === Number.POSITIVE_INFINITY ? undefined : setTimeout(() => resolve(false), milliseconds);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
