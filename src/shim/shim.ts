import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Any } from "@bufbuild/protobuf/wkt";
import { KeyedMutex, sleep } from "../base/async.ts";
import { Cleanup } from "../base/cleanup.ts";
import { alreadyExists, CortenError, conflict, isCode, messageOf, notFound } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { span } from "../base/trace.ts";
import type { ExitRecord } from "../monitor/index.ts";
import type { LinuxResources, Process, Spec } from "../oci/runtime-spec.ts";
import { MNT_DETACH, type Mount, mountAll, unmountAll } from "../sys/mount.ts";
import { isBinaryLog, startLogger } from "./binary-log.ts";
import { checkpointSource, checkpointTask, endUnrecordedRestore, restoreInit } from "./checkpoint.ts";
import { taskEvents } from "./events.ts";
import { adopt, endUnrecorded } from "./exit.ts";
import { removeLeftCgroups } from "./leftovers.ts";
import { shareWithMapped } from "./mapped-bundle.ts";
import { awaitReaders } from "./readers.ts";
import { Bundles, type ProcessRecord, type TaskRecord } from "./record.ts";
import { chooseRuntime, openRuntime } from "./runtimes/choose.ts";
import { memoryCgroupOf } from "./stats.ts";
import { destinationOf, type Stdio, withSize } from "./stdio.ts";
import { Task, type TaskObserver, type TaskProcess } from "./task.ts";
import type { OciRuntime, Publish, RuntimeChoice } from "./types.ts";
import { wrap } from "./wrap.ts";

export interface ShimOptions {
  /** Runtime directory; bundles and runtimes' state live below it. */
  state: string;
  publish: Publish;
  /** Where bundles are, when they are somebody else's. */
  bundles?: Bundles;
}

export interface CreateRequest {
  namespace: string;
  id: string;
  /** Made by the caller, with `config.json` in it; from here on the shim's to remove, also when create fails. */
  bundle: string;
  spec: Spec;
  rootfs: Mount[];
  stdio: Stdio;
  options: Any | undefined;
  /** A directory of images: start restores them. */
  checkpoint?: string;
}

/** How long a fatal signal may take before delete gives up on a process that a crash left half made. */
const killWait = 5000;

/**
 * Runs the tasks of all namespaces in this process. Real containerd has one shim process per pod, so that
 * containers survive the daemon; here that is the monitors' work, and this class can be thrown away at any
 * time: `reconcile()` of a new one finds everything again.
 */
export class Shim {
  readonly bundles: Bundles;
  readonly #state: string;
  readonly #tasks = new Map<string, Task>();
  readonly #locks = new KeyedMutex();
  readonly #observer: TaskObserver;
  readonly events: ReturnType<typeof taskEvents>;

  constructor(options: ShimOptions) {
    this.#state = options.state;
    this.bundles = options.bundles ?? new Bundles(options.state);
    this.events = taskEvents(options.publish);
    this.#observer = {
      changed: (task) => this.bundles.save(task.record),
      oom: (task) => this.events.oom(task),
      exited: (task, process, exit) => this.events.exit(task, process, exit),
    };
  }

  find(namespace: string, id: string): Task {
    const task = this.#tasks.get(`${namespace}/${id}`);
    if (!task) throw notFound(`task ${id} not found`);
    return task;
  }

  has(namespace: string, id: string): boolean {
    return this.#tasks.has(`${namespace}/${id}`);
  }

  /** How many tasks there are in all namespaces. */
  get size(): number {
    return this.#tasks.size;
  }

  /** The tasks of all namespaces. */
  all(): Iterable<Task> {
    return this.#tasks.values();
  }

  list(namespace: string): Task[] {
    return [...this.#tasks.values()].filter((task) => task.record.namespace === namespace);
  }

  /** One change at a time per container. */
  lock<T>(namespace: string, id: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(`${namespace}/${id}`, work);
  }

  create(request: CreateRequest): Promise<Task> {
    return this.lock(request.namespace, request.id, () =>
      span("shim", "create", () => this.#create(request)),
    );
  }

  async #create(request: CreateRequest): Promise<Task> {
    const { namespace, id, spec, stdio } = request;
    if (this.#tasks.has(`${namespace}/${id}`)) throw alreadyExists(`task ${id}: already exists`);
    const { bundle } = request;
    this.bundles.claim(namespace, id, bundle);
    await using undo = new Cleanup();
    undo.add(`remove bundle ${bundle}`, () => this.#removeBundle(namespace, id));
    const runtime = chooseRuntime(request.options, this.bundles.runtimeRoot(this.#state, namespace));
    const place = destinationOf(stdio, join(bundle, "init"));
    const process: ProcessRecord = { execId: "", stdio, monitorDir: place.dir, pid: 0, started: false };
    const pid = spec.linux?.namespaces?.find((entry) => entry.type === "pid");
    const record: TaskRecord = {
      version: 1,
      namespace,
      id,
      runtime,
      state: "making",
      mounted: request.rootfs.length > 0,
      ownPidNamespace: pid !== undefined && !pid.path,
      processes: [process],
    };
    this.bundles.save(record);
    const rootfs = join(bundle, "rootfs");
    mkdirSync(rootfs, { recursive: true, mode: 0o711 });
    shareWithMapped(bundle, spec);
    if (request.rootfs.length > 0) {
      span("shim", "mount rootfs", () => mountAll(request.rootfs, rootfs));
      undo.add(`unmount ${rootfs}`, () => unmountAll(rootfs, MNT_DETACH));
    }
    const task = new Task(record, bundle, this.#openRuntime(runtime), this.#observer);
    if (request.checkpoint) {
      record.checkpoint = checkpointSource(request.checkpoint, request.options);
      return this.#keep(task, request, undo);
    }
    using _others = isBinaryLog(stdio)
      ? await startLogger(stdio, place.dir, { namespace, id })
      : await awaitReaders(place.fifos);
    const monitor = { ...withSize(place, spec.process?.consoleSize), ...(record.mounted ? { rootfs } : {}) };
    try {
      task.init.took(await span("runc", "create", () => task.runtime.create({ id, bundle, spec, monitor })));
    } catch (error) {
      throw wrap("OCI runtime create failed", error);
    }
    this.#keep(task, request, undo);
    task.follow(task.init, task.init.monitor!.exited);
    return task;
  }

  #keep(task: Task, { namespace, id, rootfs }: CreateRequest, undo: Cleanup): Task {
    noteMemoryCgroup(task);
    task.record.state = "made";
    this.bundles.save(task.record);
    undo.release();
    this.#tasks.set(`${namespace}/${id}`, task);
    this.events.create(task, rootfs);
    return task;
  }

  start(namespace: string, id: string, execId: string): Promise<number> {
    return this.lock(namespace, id, async () => {
      const task = this.find(namespace, id);
      const process = task.process(execId);
      await span("shim", execId === "" ? "start" : "exec", () =>
        task.starting(process, () =>
          execId === "" ? this.#startInit(task) : this.#startExec(task, process),
        ),
      );
      return process.record.pid;
    });
  }

  async #startInit(task: Task): Promise<void> {
    if (task.record.checkpoint) {
      await restoreInit(task);
      noteMemoryCgroup(task);
      this.bundles.save(task.record);
      this.events.start(task);
      task.follow(task.init, task.init.monitor!.exited);
      return;
    }
    try {
      await task.runtime.start(task.id);
    } catch (error) {
      throw wrap("OCI runtime start failed", error);
    }
    this.events.start(task);
  }

  async #startExec(task: Task, exec: TaskProcess): Promise<void> {
    if (task.status(task.init) === "stopped")
      throw conflict("cannot exec in a stopped container: failed precondition");
    const place = destinationOf(exec.record.stdio, exec.record.monitorDir);
    mkdirSync(dirname(place.dir), { recursive: true, mode: 0o711 });
    const { spec } = exec;
    if (!spec) throw new CortenError("internal", `exec ${exec.record.execId} has no process`);
    const { stdio, execId } = exec.record;
    using _others = isBinaryLog(stdio)
      ? await startLogger(stdio, place.dir, { namespace: task.record.namespace, id: execId })
      : await awaitReaders(place.fifos);
    const monitor = withSize(place, spec.consoleSize);
    try {
      exec.took(await task.runtime.exec({ id: task.id, bundle: task.bundle, process: spec, monitor }));
    } catch (error) {
      // An exec that never ran has ended: who waits for it must not wait for ever.
      const exit = { exitCode: 255, exitedAt: new Date().toISOString(), oomKilled: false };
      exec.ended(exit);
      this.bundles.save(task.record);
      throw wrap("OCI runtime exec failed", error);
    }
    this.events.execStarted(task, exec);
    task.follow(exec, exec.monitor!.exited);
  }

  exec(namespace: string, id: string, execId: string, spec: Process, stdio: Stdio): void {
    const task = this.find(namespace, id);
    if (task.execs.has(execId)) throw alreadyExists(`id ${execId}: already exists`);
    const status = task.status(task.init);
    if (status === "stopped") throw conflict("cannot exec in a stopped container: failed precondition");
    const { dir } = destinationOf(stdio, join(task.bundle, "execs", execId));
    task.addExec({ execId, stdio, monitorDir: dir, pid: 0, started: false, process: spec }, spec);
    this.events.execAdded(task, execId);
  }

  async kill(namespace: string, id: string, execId: string, signal: number, all: boolean): Promise<void> {
    const task = this.find(namespace, id);
    const process = task.process(execId);
    if (process.exit) throw notFound("process already finished: not found");
    if (process === task.init) {
      await this.#killInit(task, signal, all);
      return;
    }
    if (!process.launched) throw conflict(`process ${execId} is not started: failed precondition`);
    if (process.monitor) await process.monitor.signal(signal);
    else globalThis.process.kill(process.record.pid, signal);
  }

  async #killInit(task: Task, signal: number, all: boolean): Promise<void> {
    try {
      await task.runtime.kill(task.id, signal, all);
    } catch (error) {
      // runsc does not signal a container that was never started; the process itself can still be ended.
      if (isCode(error, "not_found") || signal !== 9 || !task.init.monitor) throw error;
      log.debug("runtime cannot kill", { task: task.id, error: messageOf(error) });
      await task.init.monitor.signal(signal);
    }
  }

  /** Removes a stopped process, or the whole task for execId "". */
  delete(namespace: string, id: string, execId: string): Promise<{ pid: number; exit: ExitRecord }> {
    return this.lock(namespace, id, () =>
      span("shim", "delete", async () => {
        const task = this.find(namespace, id);
        const process = task.process(execId);
        const { pid } = process.record;
        if (execId !== "") {
          if (process.launched && !process.exit)
            throw conflict("cannot delete a running process: failed precondition");
          process.monitor?.close();
          task.removeExec(execId);
          this.#removeMonitorDir(task, process.record);
          return { pid, exit: process.exit ?? neverRan() };
        }
        if (!process.exit) await this.#endCreated(task);
        const exit = process.exit ?? (await process.wait());
        await this.#discard(task);
        this.events.delete(task, exit);
        return { pid, exit };
      }),
    );
  }

  /** Saves a task's processes as images in a directory (CRIU's); it goes on, or ends. */
  checkpoint(namespace: string, id: string, path: string, options: Any | undefined): Promise<void> {
    return this.lock(namespace, id, () =>
      span("shim", "checkpoint", () => checkpointTask(this.find(namespace, id), path, options)),
    );
  }

  /** A task that was created but never started is ended by its deletion; one that runs is not. */
  async #endCreated(task: Task): Promise<void> {
    if (task.init.record.started) throw conflict("cannot delete a running process: failed precondition");
    if (!task.init.launched) return task.init.ended(neverRan());
    await this.#killInit(task, 9, true).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
    const late = Symbol();
    if ((await Promise.race([task.init.wait(), sleep(killWait).then(() => late)])) === late)
      throw new CortenError("deadline_exceeded", `task ${task.id} does not end`);
  }

  /** Gives back all a task holds: the runtime's state and cgroup, mounts, monitors, bundle. */
  async #discard(task: Task): Promise<void> {
    const { namespace, id } = task.record;
    task.record.state = "deleting";
    this.bundles.save(task.record);
    await task.runtime.remove(id, true).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
    span("shim", "unmount rootfs", () => unmountAll(join(task.bundle, "rootfs"), MNT_DETACH));
    for (const process of [task.init, ...task.execs.values()]) process.monitor?.close();
    // With the monitors' directories that are in it.
    this.#removeBundle(namespace, id);
    this.#tasks.delete(`${namespace}/${id}`);
  }

  #openRuntime(choice: RuntimeChoice): OciRuntime {
    return openRuntime(choice, (path) => this.bundles.removal.discard(path));
  }

  #removeBundle(namespace: string, id: string): void {
    this.bundles.remove(namespace, id);
  }

  /** A monitor directory that the client chose belongs to the client. */
  #removeMonitorDir(task: Task, record: ProcessRecord): void {
    if (record.monitorDir.startsWith(`${task.bundle}/`)) this.bundles.removal.discard(record.monitorDir);
  }

  async update(namespace: string, id: string, resources: LinuxResources): Promise<void> {
    await this.find(namespace, id).runtime.update(id, resources);
  }

  /** Finds the tasks a previous daemon left: adopts the living, reports missed exits, removes the half made. */
  async reconcile(): Promise<void> {
    for (const { namespace, id, record } of [...this.bundles.load()]) {
      try {
        if (record?.state !== "made") await this.#cleanUp(namespace, id, record);
        else await this.#adopt(record);
      } catch (error) {
        log.error(`task ${id} of ${namespace} could not be recovered`, { error: messageOf(error) });
      }
    }
  }

  async #adopt(record: TaskRecord): Promise<void> {
    const { namespace, id } = record;
    const task = new Task(
      record,
      this.bundles.path(namespace, id),
      this.#openRuntime(record.runtime),
      this.#observer,
    );
    this.#tasks.set(`${namespace}/${id}`, task);
    // A restore that was under way is begun anew by the next start.
    if (!task.init.launched) await endUnrecordedRestore(task);
    const known: Promise<unknown>[] = [];
    for (const process of [task.init, ...task.execs.values()]) {
      if (process.exit || !process.launched) continue;
      const { monitorDir, pid, startTime } = process.record;
      const { monitor, exited, over } = await adopt(monitorDir, pid, startTime);
      process.monitor = monitor;
      task.follow(process, exited);
      if (over) known.push(process.wait());
    }
    // Who asks after the start sees the states as they are.
    await Promise.all(known);
    if (task.init.launched && !task.init.exit && (await task.runtime.isPaused(id))) task.setPaused();
    log.info(`task ${id} of ${namespace} ${task.init.exit ? "had ended" : "adopted"}`);
  }

  /**
   * Ends and removes a task that no process serves any more (its shim was killed), and tells how it ended; undefined
   * when there is no record of it.
   */
  async removeDead(namespace: string, id: string): Promise<{ pid: number; exit: ExitRecord } | undefined> {
    const record = this.bundles.read(namespace, id);
    const init = record?.processes[0];
    if (!record || !init) return undefined;
    for (const { monitorDir } of record.processes) await endUnrecorded(monitorDir);
    const { exited, over } = await adopt(init.monitorDir, init.pid, init.startTime);
    if (!over && init.pid > 0)
      try {
        globalThis.process.kill(init.pid, 9);
      } catch (error) {
        log.debug("cannot kill", { task: id, error: messageOf(error) });
      }
    const exit = init.exit ?? (await Promise.race([exited, sleep(killWait).then(neverRan)]));
    await this.#cleanUp(namespace, id, record);
    return { pid: init.pid, exit };
  }

  /** What a daemon killed in the middle of create or delete left behind. */
  async #cleanUp(namespace: string, id: string, record: TaskRecord | undefined): Promise<void> {
    const bundle = this.bundles.path(namespace, id);
    if (record) {
      // A daemon killed between the launch and its record leaves a process at the start gate that only its monitor knows.
      for (const { monitorDir } of record.processes) await endUnrecorded(monitorDir);
      await this.#openRuntime(record.runtime)
        .remove(id, true)
        .catch((error) => {
          if (!isCode(error, "not_found")) log.warn(`delete of ${id}`, { error: messageOf(error) });
        });
      await removeLeftCgroups(bundle, id, record.runtime.systemdCgroup);
    }
    unmountAll(join(bundle, "rootfs"), MNT_DETACH);
    this.#removeBundle(namespace, id);
    log.info(`task ${id} of ${namespace} was half made and is removed`);
  }

  /** Drops the connections to the monitors; everything goes on. */
  async close(): Promise<void> {
    for (const task of this.#tasks.values())
      for (const process of [task.init, ...task.execs.values()]) process.monitor?.close();
    await this.bundles.removal.settled;
  }
}

/** Of a foreign runtime's container, while it is there. */
function noteMemoryCgroup(task: Task): void {
  const memoryCgroup =
    task.record.runtime.binary && task.init.launched ? memoryCgroupOf(task.init.record.pid) : undefined;
  if (memoryCgroup !== undefined) task.record.memoryCgroup = memoryCgroup;
}

const neverRan = (): ExitRecord => ({ exitCode: 0, exitedAt: "", oomKilled: false });
