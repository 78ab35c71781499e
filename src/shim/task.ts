import { deferred, sleep } from "../base/async.ts";
import { CortenError, conflict, isCode, messageOf, notFound } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ExitRecord, Monitor } from "../monitor/index.ts";
import type { Process as ProcessSpec } from "../oci/runtime-spec.ts";
import { startTimeOf } from "./exit.ts";
import type { ProcessRecord, TaskRecord } from "./record.ts";
import { oomKilled } from "./stats.ts";
import type { Launched, OciRuntime } from "./types.ts";

export type Status = "created" | "running" | "stopped" | "paused" | "pausing";

/** One process of a task: the container's init, or one that was exec'ed. */
export class TaskProcess {
  readonly record: ProcessRecord;
  monitor: Monitor | undefined;
  /** Of an exec that is not started yet. */
  readonly spec: ProcessSpec | undefined;
  /** Resolves after the exit event is out. */
  readonly #exited = deferred<ExitRecord>();
  /** Set while start() runs: an exit that comes meanwhile is reported after the start. */
  starting: Promise<unknown> | undefined;

  constructor(record: ProcessRecord, spec?: ProcessSpec) {
    this.record = record;
    this.spec = spec;
    if (record.exit) this.#exited.resolve(record.exit);
  }

  get exit(): ExitRecord | undefined {
    return this.record.exit;
  }

  get launched(): boolean {
    return this.record.pid > 0;
  }

  /** The exit status, once its event is out. */
  wait(): Promise<ExitRecord> {
    return this.#exited.promise;
  }

  took(launched: Launched): void {
    this.monitor = launched.monitor;
    this.record.pid = launched.pid;
    const startTime = launched.startTime || startTimeOf(launched.pid);
    if (startTime !== undefined) this.record.startTime = startTime;
  }

  ended(exit: ExitRecord): void {
    this.record.exit = exit;
    this.#exited.resolve(exit);
  }
}

/** What a task tells about itself: the shim turns it into events and saves the record. */
export interface TaskObserver {
  changed(task: Task): void;
  oom(task: Task): void;
  exited(task: Task, process: TaskProcess, exit: ExitRecord): void;
}

/** A container's processes and the runtime they are run by. */
export class Task {
  readonly record: TaskRecord;
  readonly bundle: string;
  readonly runtime: OciRuntime;
  readonly init: TaskProcess;
  readonly execs = new Map<string, TaskProcess>();
  readonly #observer: TaskObserver;
  #paused: "no" | "pausing" | "paused" = "no";

  constructor(record: TaskRecord, bundle: string, runtime: OciRuntime, observer: TaskObserver) {
    this.record = record;
    this.bundle = bundle;
    this.runtime = runtime;
    this.#observer = observer;
    const [init, ...execs] = record.processes;
    if (!init) throw new CortenError("internal", `task ${record.id} has no process on record`);
    this.init = new TaskProcess(init);
    for (const exec of execs)
      this.execs.set(exec.execId, new TaskProcess(exec, exec.process as ProcessSpec | undefined));
  }

  get id(): string {
    return this.record.id;
  }

  process(execId: string): TaskProcess {
    if (execId === "") return this.init;
    const found = this.execs.get(execId);
    if (!found) throw notFound(`process does not exist ${execId}: not found`);
    return found;
  }

  status(process: TaskProcess): Status {
    if (process.exit) return "stopped";
    if (!process.record.started) return "created";
    if (process === this.init && this.#paused !== "no") return this.#paused;
    return "running";
  }

  addExec(record: ProcessRecord, spec: ProcessSpec): TaskProcess {
    const exec = new TaskProcess(record, spec);
    this.execs.set(record.execId, exec);
    this.record.processes.push(record);
    this.#observer.changed(this);
    return exec;
  }

  removeExec(execId: string): void {
    this.execs.delete(execId);
    this.record.processes = this.record.processes.filter(
      (record) => record.execId !== execId || record.execId === "",
    );
    this.#observer.changed(this);
  }

  /** Marks a process as started and reports its end from now on, after `started` was heard. */
  async starting(process: TaskProcess, start: () => Promise<void>): Promise<void> {
    if (process.exit) throw conflict("cannot start a stopped process: failed precondition");
    if (process.record.started || process.starting)
      throw conflict("cannot start a running process: failed precondition");
    const done = deferred<void>();
    process.starting = done.promise;
    try {
      await start();
      process.record.started = true;
      this.#observer.changed(this);
    } finally {
      process.starting = undefined;
      done.resolve();
    }
  }

  /** Follows a process to its end. */
  follow(process: TaskProcess, exited: Promise<ExitRecord>): void {
    void exited
      .then(async (exit) => {
        await process.starting;
        await this.#ended(process, exit);
      })
      .catch((error) => log.error(`exit of ${this.id} could not be handled`, { error: messageOf(error) }));
  }

  async #ended(process: TaskProcess, reported: ExitRecord): Promise<void> {
    if (process.exit) return;
    let exit = reported;
    if (process === this.init) {
      // Without a PID namespace of its own the kernel does not end the rest with the init.
      if (!this.record.ownPidNamespace)
        await this.runtime.kill(this.id, 9, true).catch((error) => {
          if (!isCode(error, "not_found"))
            log.warn(`cannot kill what ${this.id} left`, { error: messageOf(error) });
        });
      // Clients rely on the init's exit being the last one.
      await Promise.all(
        [...this.execs.values()]
          .filter((exec) => exec.launched && this.record.ownPidNamespace)
          .map((exec) => Promise.race([exec.wait(), sleep(2000)])),
      );
      this.#paused = "no";
      const { memoryCgroup } = this.record;
      if (!exit.oomKilled && memoryCgroup && oomKilled(memoryCgroup)) exit = { ...exit, oomKilled: true };
      if (exit.oomKilled) this.#observer.oom(this);
    }
    this.#observer.exited(this, process, exit);
    process.ended(exit);
    this.#observer.changed(this);
  }

  async pause(): Promise<void> {
    if (this.status(this.init) !== "running")
      throw conflict(`cannot pause a ${this.status(this.init)} container: failed precondition`);
    this.#paused = "pausing";
    try {
      await this.runtime.pause(this.id);
      this.#paused = "paused";
    } catch (error) {
      this.#paused = "no";
      throw error;
    }
  }

  async resume(): Promise<void> {
    if (this.#paused !== "paused")
      throw conflict(`cannot resume a ${this.status(this.init)} container: failed precondition`);
    await this.runtime.resume(this.id);
    this.#paused = "no";
  }

  /** After a restart the freezer knows, we do not. */
  setPaused(): void {
    this.#paused = "paused";
  }
}
