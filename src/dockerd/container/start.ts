import { mkdirSync, rmSync } from "node:fs";
import { Cleanup } from "../../base/cleanup.ts";
import { CortenError, conflict, internal, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import { packOptions, packRuntimeOptions } from "../../containerd/client/index.ts";
import { restoreOptions } from "../checkpoints/options.ts";
import type { Daemon } from "../daemon.ts";
import { packSpecExact } from "../spec/pack.ts";
import { now } from "../time.ts";
import { ensureProfile, profileOf, saveProfile } from "./apparmor.ts";
import type { Container, ContainerRecord } from "./container.ts";
import { containerEvent } from "./events.ts";
import { watchExit } from "./exit.ts";
import { startHealth } from "./health.ts";
import { connectContainer, disconnectContainer } from "./networking.ts";
import { initDirectory, shmPath } from "./paths.ts";
import { contextOption, labelFiles, labelledMounts, labelVolumes } from "./selinux.ts";
import { readAccounts, specOf, userOf } from "./spec-input.ts";
import { abandonStdio, logTarget, makeStdio } from "./stdio.ts";

/** Starts a container by the user's word: takes its lock and forgets that it was ever stopped by hand. */
export function startContainer(daemon: Daemon, container: Container, checkpoint?: string): Promise<void> {
  return daemon.locks.run(container.id, async () => {
    const { state } = container;
    if (state.paused) throw conflict("cannot start a paused container, try unpause instead");
    if (state.running && !state.restarting)
      throw new CortenError("not_modified", "container is already running");
    if (state.removing || state.dead) throw conflict("container is marked for removal and cannot be started");
    cancelRestart(container);
    container.record.manuallyStopped = false;
    container.backoff = 0;
    await startLocked(daemon, container, checkpoint);
  });
}

/** An empty directory; what an earlier run left in it goes. */
function makeFresh(dir: string): void {
  if (mkdirSync(dir, { recursive: true, mode: 0o700 }) !== undefined) return;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { mode: 0o700 });
}

export function cancelRestart(container: Container): void {
  clearTimeout(container.restartTimer);
  container.restartTimer = undefined;
}

/**
 * Starts a container whose lock is held, or restores it from a directory of images. On failure everything taken is given back
 * and the reason recorded.
 */
export async function startLocked(daemon: Daemon, container: Container, checkpoint?: string): Promise<void> {
  const { record } = container;
  const { state } = record;
  try {
    await run(daemon, container, checkpoint);
  } catch (error) {
    const failure = startFailure(error);
    const restarting = state.restarting;
    state.running = false;
    state.restarting = false;
    state.pid = 0;
    state.exitCode = failure.exitCode;
    state.error = failure.error.message;
    state.finishedAt = now();
    for (const pending of container.pendingAttaches) pending.failed();
    container.pendingAttaches.clear();
    daemon.containers.save(container);
    containerEvent(daemon, container, "die", { exitCode: String(failure.exitCode) });
    // There was no run whose exit could be waited for, unless this was to be another one.
    if (restarting) container.announce("next-exit", "not-running");
    if (record.host.AutoRemove) {
      const { removeLocked } = await import("./remove.ts");
      await removeLocked(daemon, container, { volumes: true, force: true }).catch((problem) =>
        log.error("cannot remove a container that did not start", {
          id: record.id,
          error: messageOf(problem),
        }),
      );
    }
    throw failure.error;
  }
}

async function run(daemon: Daemon, container: Container, checkpoint: string | undefined): Promise<void> {
  const { record } = container;
  const { state, id } = record;
  await using undo = new Cleanup();
  const client = daemon.containerd;
  state.error = "";
  daemon.containers.settle(container);
  const mounts =
    container.rootfs ?? (await client.snapshots.mounts({ snapshotter: record.snapshotter, key: id })).mounts;
  const accounts = await span("dockerd", "read accounts", () =>
    readAccounts(daemon, record, container.pristine, mounts),
  );
  const user = userOf(record, accounts);
  undo.add("disconnect networks", () => disconnectContainer(daemon, container));
  const networkNamespace = await connectContainer(daemon, container);
  prepareVolumes(daemon, container, undo);
  // Needed until the container has its own mounts; taken away whether the start succeeds or not.
  await using bound = new Cleanup();
  const subpaths = bindSubpaths(daemon, record, bound);
  if (record.mountLabel) {
    await labelFiles(daemon, record);
    await labelVolumes(daemon, record, subpaths);
  }
  saveProfile(daemon, record);
  await ensureProfile(daemon, profileOf(daemon, record));
  const spec = specOf(daemon, record, {
    user,
    subpaths,
    ...(networkNamespace === undefined ? {} : { networkNamespace }),
  });
  const runtime = runtimeOf(daemon, record.host.Runtime);
  const packed = packSpecExact(spec);
  const options = checkpoint === undefined ? undefined : restoreOptions(runtime, checkpoint);
  const create = () =>
    client.containers.create({
      container: {
        id,
        image: record.config.Image,
        labels: { "com.docker.engine.root": daemon.config.dataRoot },
        runtime: { name: runtime.name, ...(runtime.options ? { options: runtime.options } : {}) },
        spec: packed,
        snapshotter: record.snapshotter,
        snapshotKey: id,
      },
    });
  try {
    await create();
  } catch (error) {
    if (!isCode(error, "already_exists")) throw error;
    // Left by a daemon that was killed between two calls.
    await discardTask(daemon, id);
    await create();
  }
  undo.add("delete containerd's container", () => client.containers.delete({ id }));
  const dir = initDirectory(daemon, id);
  makeFresh(dir);
  undo.add("remove runtime directory", () => rmSync(dir, { recursive: true, force: true }));
  const target = logTarget(daemon, container);
  const stdio = await makeStdio(daemon, {
    dir,
    terminal: record.config.Tty,
    stdin: record.config.OpenStdin,
    ...(target ? { log: target } : {}),
  });
  undo.add("end streams", () => abandonStdio(stdio));
  const created = await span("dockerd", "create task", () =>
    client.tasks.create({
      containerId: id,
      rootfs: labelledMounts(mounts, record.mountLabel),
      terminal: record.config.Tty,
      ...stdio.paths,
      ...(options ? { options } : {}),
    }),
  ).catch((error) => {
    throw new CortenError(codeOf(error), `failed to create task for container: ${taskMessage(error)}`, {
      cause: error,
    });
  });
  undo.add("delete task", () => discardTask(daemon, id, true));
  record.monitorDir = dir;
  // What is restored has no monitor before it runs.
  if (!checkpoint) await joinPending(daemon, container, dir);
  const exit = watchExit(daemon, container);
  const started = await span("dockerd", "start task", () => client.tasks.start({ containerId: id })).catch(
    (error) => {
      exit.forget();
      throw new CortenError(codeOf(error), `failed to start task for container: ${taskMessage(error)}`, {
        cause: error,
      });
    },
  );
  if (checkpoint) await joinPending(daemon, container, dir);
  stdio.monitor?.close();
  undo.release();
  state.running = true;
  state.paused = false;
  state.restarting = false;
  state.oomKilled = false;
  state.exitCode = 0;
  state.pid = started.pid || created.pid;
  state.startedAt = now();
  record.startedBefore = true;
  container.pristine = false;
  container.rootfs = undefined;
  container.stopping = false;
  daemon.containers.save(container);
  containerEvent(daemon, container, "start");
  startHealth(daemon, container);
  exit.go();
}

function bindSubpaths(daemon: Daemon, record: ContainerRecord, bound: Cleanup): Map<string, string> {
  const paths = new Map<string, string>();
  for (const { source, subpath, destination } of record.mounts) {
    if (subpath === undefined) continue;
    const { path, end } = daemon.host.bindSubpath(source, subpath);
    bound.add(`unbind ${subpath}`, end);
    paths.set(destination, path);
  }
  return paths;
}

/** Volumes that need mounting, bind sources that are to be made, and the shared memory of `--ipc shareable`. */
function prepareVolumes(daemon: Daemon, container: Container, undo: Cleanup): void {
  const { record } = container;
  for (const mount of record.mounts) {
    if (mount.type === "volume" && mount.name !== undefined) {
      daemon.volumes.use(mount.name, record.id);
      undo.add(`release volume ${mount.name}`, () => daemon.volumes.unuse(mount.name!, record.id));
      daemon.events.publish("volume", "mount", mount.name, {
        container: record.id,
        destination: mount.destination,
        driver: mount.driver ?? "local",
        propagation: mount.propagation,
        "read/write": String(mount.writable),
      });
    }
    if (mount.type === "bind" && mount.createSource) {
      try {
        mkdirSync(mount.source, { recursive: true });
      } catch (error) {
        // A file there is fine, too.
        if ((error as NodeJS.ErrnoException).code !== "EEXIST")
          throw internal(
            `error while creating mount source path '${mount.source}': ${messageOf(error)}`,
            error,
          );
      }
    }
  }
  if (record.host.IpcMode === "shareable") {
    const path = shmPath(daemon, record.id);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const size = `size=${record.host.ShmSize}`;
    const label = contextOption(record.mountLabel);
    daemon.host.mountTmpfs(path, ["noexec", "nosuid", "nodev", "mode=1777", size, ...label]);
    undo.add("unmount shared memory", () => daemon.host.unmount(path));
  }
}

/** containerd's runtime and its options for one of ours by name. */
export function runtimeOf(daemon: Daemon, name: string) {
  const runtime = daemon.config.runtimes[name];
  if (runtime?.type !== undefined) {
    const options = runtime.options && packRuntimeOptions(runtime.type, runtime.options);
    return { name: runtime.type, ...(options ? { options } : {}) };
  }
  if (!runtime && name.startsWith("io.containerd.")) return { name };
  const systemdCgroup = daemon.config.cgroupDriver === "systemd";
  return {
    name: "io.containerd.runc.v2",
    ...(runtime?.path === undefined && !systemdCgroup
      ? {}
      : { options: packOptions({ binaryName: runtime?.path ?? "", systemdCgroup }) }),
  };
}

/** Gives the clients that attached before the start their streams, before the first byte is written. */
async function joinPending(daemon: Daemon, container: Container, dir: string): Promise<void> {
  if (container.pendingAttaches.size === 0) return;
  try {
    for (const pending of container.pendingAttaches)
      pending.ready(await daemon.monitors.attach(dir, pending.want));
  } catch (error) {
    // The process died before its start: that start has the better message.
    if (isCode(error, "not_found")) return;
    throw error;
  }
  container.pendingAttaches.clear();
}

/** Ends and deletes what is left of a task; nothing of it is an error. */
export async function discardTask(daemon: Daemon, id: string, keepContainer = false): Promise<void> {
  const client = daemon.containerd;
  await client.tasks.kill({ containerId: id, signal: 9, all: true }).catch(() => {});
  await client.tasks.wait({ containerId: id }, { timeoutMs: 5000 }).catch(() => {});
  await client.tasks.delete({ containerId: id }).catch(() => {});
  if (!keepContainer) await client.containers.delete({ id }).catch(() => {});
}

const codeOf = (error: unknown) => (error instanceof CortenError ? error.code : "unknown");

/** The runtime's text ends in `: unknown` when it comes through a shim; clients look for that. */
export function taskMessage(error: unknown): string {
  const text = messageOf(error);
  return /OCI runtime/.test(text) && !/: unknown$/.test(text) ? `${text}: unknown` : text;
}

/** Exit code and status of a start that failed, by what the runtime said (as Docker decides it). */
function startFailure(error: unknown): { exitCode: number; error: CortenError } {
  const message = messageOf(error);
  const runtime = /OCI runtime|failed to create task|failed to start task/.test(message);
  const about = (pattern: RegExp) => runtime && pattern.test(message);
  if (about(/executable file not found|no such file or directory|system cannot find the file specified/i))
    return { exitCode: 127, error: new CortenError("invalid_argument", message, { cause: error }) };
  if (about(/permission denied|not a directory|is a directory|exec format error/i))
    return { exitCode: 126, error: new CortenError("invalid_argument", message, { cause: error }) };
  const code = codeOf(error);
  return {
    exitCode: 128,
    error: runtime
      ? new CortenError("unknown", message, { cause: error })
      : new CortenError(code, message, { cause: error }),
  };
}
