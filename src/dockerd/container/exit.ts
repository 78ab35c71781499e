import { sleep } from "../../base/async.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { Attachment } from "../../monitor/index.ts";
import type { Daemon } from "../daemon.ts";
import { formatNano, now, parseRfc3339 } from "../time.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./events.ts";
import { disconnectContainer } from "./networking.ts";
import { runDirectory, shmPath } from "./paths.ts";
import { hasRestartPolicy, shouldRestart } from "./restart-policy.ts";

export interface TaskExit {
  exitCode: number;
  exitedAt: string;
  oomKilled?: boolean;
}

/**
 * Waits for the end of a container's task from now on, so that one that ends at once is not missed. The end is
 * dealt with after `go`: the start that is under way holds the lock and finishes first.
 */
export function watchExit(daemon: Daemon, container: Container): { go: () => void; forget: () => void } {
  const abort = new AbortController();
  const waiting = waitTask(daemon, container.id, abort.signal);
  waiting.catch(() => {});
  return {
    go: () => {
      container.exitHandled = waiting.then(
        (exit) => (exit ? handleExit(daemon, container, exit) : undefined),
        (error) => log.error("lost the wait for a container", { id: container.id, error: messageOf(error) }),
      );
    },
    forget: () => abort.abort(),
  };
}

/** The task's end; asks again while containerd is away. */
async function waitTask(daemon: Daemon, id: string, signal: AbortSignal): Promise<TaskExit | undefined> {
  for (let delay = 100; ; delay = Math.min(delay * 2, 5000)) {
    try {
      const { exitStatus, exitedAt } = await daemon.containerd.tasks.wait({ containerId: id }, { signal });
      return {
        exitCode: exitStatus,
        exitedAt: exitedAt ? formatNano(exitedAt.seconds * 1_000_000_000n + BigInt(exitedAt.nanos)) : now(),
      };
    } catch (error) {
      if (signal.aborted || daemon.closing) return undefined;
      // Deleted by someone else: its end is all that is known.
      if (isCode(error, "not_found")) return { exitCode: 137, exitedAt: now() };
      log.warn("waiting for a container failed, trying again", { id, error: messageOf(error) });
      await sleep(delay);
      if (daemon.closing) return undefined;
    }
  }
}

/** Docker waits as long for what is left of a container's output. */
const outputPatience = 2000;
const longestPatience = 30_000;

/**
 * A foreign shim tells of the end first, and then passes on what is left of the output, through FIFOs to a monitor that
 * logs it: it leaves when it has. Who is told of the end may ask for the log next. A process that outlives the
 * container's, as one in the host's namespace, may hold them open: it is waited for while it says something.
 */
async function outputLogged(daemon: Daemon, monitorDir: string): Promise<void> {
  let rest: Attachment;
  try {
    rest = await daemon.monitors.attach(monitorDir, { stdin: false, stdout: true, stderr: true });
  } catch {
    // It has left, or there never was one.
    return;
  }
  const latest = performance.now() + longestPatience;
  await new Promise<void>((done) => {
    let timer = setTimeout(done, outputPatience);
    const more = () => {
      clearTimeout(timer);
      timer = setTimeout(done, Math.min(outputPatience, latest - performance.now()));
    };
    const over = () => {
      clearTimeout(timer);
      done();
    };
    for (const stream of [rest.stdout, rest.stderr]) stream.on("data", more).on("error", over);
    rest.stdout.once("close", over).once("end", over);
  });
  rest.close();
}

/** A container has ended: its resources go, its state is recorded, and its policy decides what follows. */
export function handleExit(daemon: Daemon, container: Container, exit: TaskExit): Promise<void> {
  return daemon.locks.run(container.id, () =>
    span("dockerd", "container exit", () => handleExitLocked(daemon, container, exit)),
  );
}

export async function handleExitLocked(daemon: Daemon, container: Container, exit: TaskExit): Promise<void> {
  const { record } = container;
  const { state, id } = record;
  if (!state.running) return;
  const { monitorDir } = record;
  const recorded = monitorDir === undefined ? undefined : daemon.monitors.exit(monitorDir);
  // Our own shim's monitor has logged everything before it wrote its record.
  if (monitorDir !== undefined && !recorded) await outputLogged(daemon, monitorDir);
  container.stopHealth?.();
  container.stopHealth = undefined;
  const oomKilled = exit.oomKilled ?? recorded?.oomKilled ?? false;
  if (oomKilled && !state.oomKilled) containerEvent(daemon, container, "oom");
  state.oomKilled ||= oomKilled;
  const startedAt = parseRfc3339(state.startedAt) ?? 0n;
  const ran = Number(((parseRfc3339(exit.exitedAt) ?? startedAt) - startedAt) / 1_000_000n);
  const restart = shouldRestart(daemon, container, exit.exitCode, ran);
  for (const exec of container.execs.values()) exec.containerEnded();
  state.running = restart;
  state.restarting = restart;
  state.paused = false;
  state.pid = 0;
  state.exitCode = exit.exitCode;
  state.finishedAt = exit.exitedAt;
  if (state.health) state.health.Status = "unhealthy";
  containerEvent(daemon, container, "die", {
    exitCode: String(exit.exitCode),
    execDuration: String(Math.max(0, Math.floor(ran / 1000))),
  });
  // Who waits for the end need not wait for what it leaves behind; who changes the container waits for its lock.
  // Killed before the record is saved, the next daemon finds the same status in the monitor's exit record.
  // One that restarts was not running for a moment: as with Docker, that ends a wait.
  container.announce("next-exit", "not-running");
  await releaseResources(daemon, container);
  delete record.monitorDir;
  if (restart) {
    record.restartCount++;
    daemon.containers.save(container);
    daemon.removal.exec.discard(runDirectory(daemon, id));
    scheduleRestart(daemon, container);
    return;
  }
  container.stopping = false;
  if (!record.host.AutoRemove) {
    // The monitor's exit record says the same until then, and often the next thing to happen is the removal.
    daemon.containers.saveSoon(container, () => daemon.removal.exec.discard(runDirectory(daemon, id)));
    // It does not say who ended the container, which a policy depends on.
    if (hasRestartPolicy(container)) daemon.containers.settle(container);
  } else {
    const { removeLocked } = await import("./remove.ts");
    await removeLocked(daemon, container, { volumes: true, force: false }).catch((error) =>
      log.error("cannot remove a container after its end", { id, error: messageOf(error) }),
    );
  }
}

/** Everything a run took: task, network, volumes, shared memory, monitors' directories. Failures are logged. */
export async function releaseResources(daemon: Daemon, container: Container): Promise<void> {
  const { record } = container;
  const { id } = record;
  const attempt = async (what: string, work: () => unknown) => {
    try {
      await work();
    } catch (error) {
      if (!isCode(error, "not_found")) log.warn(`${what} failed`, { id, error: messageOf(error) });
    }
  };
  const task = async () => {
    await attempt("deleting the task", () => daemon.containerd.tasks.delete({ containerId: id }));
    await attempt("deleting containerd's container", () => daemon.containerd.containers.delete({ id }));
  };
  await Promise.all([
    task(),
    attempt("disconnecting networks", () => disconnectContainer(daemon, container)),
  ]);
  for (const mount of record.mounts)
    if (mount.type === "volume" && mount.name !== undefined) {
      await attempt("releasing a volume", () => daemon.volumes.unuse(mount.name!, id));
      daemon.events.publish("volume", "unmount", mount.name, {
        container: id,
        driver: mount.driver ?? "local",
      });
    }
  if (record.host.IpcMode === "shareable")
    await attempt("unmounting shared memory", () => daemon.host.unmount(shmPath(daemon, id)));
}

/** The restart after its pause; a stop, a kill or the daemon's end in between cancels it. */
export function scheduleRestart(daemon: Daemon, container: Container): void {
  container.restartTimer = setTimeout(() => {
    container.restartTimer = undefined;
    void daemon.locks
      .run(container.id, async () => {
        if (!container.state.restarting || daemon.closing) return;
        const { startLocked } = await import("./start.ts");
        await startLocked(daemon, container);
      })
      .catch((error) =>
        log.warn("cannot restart a container", { id: container.id, error: messageOf(error) }),
      );
  }, container.backoff);
}
