import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sleep } from "../../base/async.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { CortenError, isCode, messageOf, notFound } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { ExitRecord, Monitor, MonitorLog } from "../../monitor/index.ts";
import type { Process, Spec } from "../../oci/runtime-spec.ts";
import { startTimeOf } from "../../shim/exit.ts";
import { removeLeftCgroups } from "../../shim/leftovers.ts";
import { shareWithMapped } from "../../shim/mapped-bundle.ts";
import { MNT_DETACH, type Mount, mountAll, unmountAll } from "../../sys/mount.ts";
import { openMonitored } from "./open.ts";
import type { MonitoredRuntime, ProcessChoice, ProcessRecord } from "./types.ts";

/** Where a container's things are. */
export interface Place {
  /** Persistent: `config.json`. */
  bundle: string;
  /** Gone after a reboot: the root's mount, the process' record, its monitor. */
  dir: string;
}

/** A process that runs, waits for its start, or has ended and was not released yet. */
export interface Live {
  readonly runtime: MonitoredRuntime;
  readonly dir: string;
  record: ProcessRecord;
  monitor: Monitor | undefined;
  /** Known once it has ended. */
  exit: ExitRecord | undefined;
  readonly exited: Promise<ExitRecord>;
}

export interface LaunchOptions {
  id: string;
  place: Place;
  spec: Spec;
  choice: ProcessChoice;
  mounts: readonly Mount[];
  terminal: boolean;
  stdin: boolean;
  /** The end of the first client's input ends the process' input. */
  stdinOnce: boolean;
  log?: MonitorLog;
}

const recordFile = (dir: string) => join(dir, "process.json");
export const rootfsOf = (dir: string) => join(dir, "rootfs");
export const monitorDirOf = (dir: string) => join(dir, "init");
/** How long a process may take to end after SIGKILL. */
const killWait = 10_000;

/** The processes of containers, each under a monitor of its own that outlives this server. */
export class Processes {
  readonly #live = new Map<string, Live>();
  readonly #discard: (path: string) => void;
  #closed = false;

  constructor(discard: (path: string) => void) {
    this.#discard = discard;
  }

  find(id: string): Live | undefined {
    return this.#live.get(id);
  }

  get(id: string): Live {
    const live = this.#live.get(id);
    if (!live) throw notFound(`container ${JSON.stringify(id)} has no process`);
    return live;
  }

  all(): Iterable<[string, Live]> {
    return this.#live;
  }

  open(choice: ProcessChoice): MonitoredRuntime {
    return openMonitored(choice, this.#discard);
  }

  /** Mounts the root and makes the process, which waits for its start. */
  async create(options: LaunchOptions): Promise<Live> {
    const { id, place, spec, choice } = options;
    const { dir, bundle } = place;
    await using undo = new Cleanup();
    const runtime = this.open(choice);
    const record: ProcessRecord = { version: 1, choice, bundle, state: "making", pid: 0 };
    mkdirSync(dir, { recursive: true, mode: 0o711 });
    // Volumes may have made it first, for root alone.
    chmodSync(dir, 0o711);
    this.#save(dir, record);
    undo.add("forget the process", () => rmSync(recordFile(dir), { force: true }));
    const rootfs = rootfsOf(dir);
    if (options.mounts.length > 0) {
      mkdirSync(rootfs, { recursive: true, mode: 0o711 });
      shareWithMapped(dir, spec);
      span("shim", "mount rootfs", () => mountAll(options.mounts, rootfs));
      undo.add(`unmount ${rootfs}`, () => unmountAll(rootfs, MNT_DETACH));
    }
    const monitorDir = monitorDirOf(dir);
    // A monitor of an earlier start would look as if this one had ended.
    rmSync(monitorDir, { recursive: true, force: true });
    mkdirSync(monitorDir, { recursive: true, mode: 0o700 });
    undo.add("forget the monitor's files", () => runtime.forget(id));
    const { pid, monitor, startTime } = await span("runc", "create", () =>
      runtime.create({
        id,
        bundle,
        spec,
        monitor: {
          dir: monitorDir,
          terminal: options.terminal,
          stdin: options.stdin,
          stdinOnce: options.stdinOnce,
          ...(options.log ? { log: options.log } : {}),
          ...(options.mounts.length > 0 ? { rootfs } : {}),
        },
      }),
    ).catch((error) => {
      throw wrap("failed to create container", error);
    });
    record.pid = pid;
    const found = startTime || startTimeOf(pid);
    if (found !== undefined) record.startTime = found;
    record.state = "made";
    this.#save(dir, record);
    undo.release();
    return this.#follow(id, dir, runtime, record, monitor, monitor.exited);
  }

  async start(id: string): Promise<void> {
    const live = this.get(id);
    await live.runtime.start(id).catch((error) => {
      throw wrap("failed to start container", error);
    });
    live.record.state = "started";
    this.#save(live.dir, live.record);
  }

  #follow(
    id: string,
    dir: string,
    runtime: MonitoredRuntime,
    record: ProcessRecord,
    monitor: Monitor | undefined,
    ended: Promise<ExitRecord>,
  ): Live {
    const live: Live = {
      runtime,
      dir,
      record,
      monitor,
      exit: undefined,
      exited: this.#endOf(ended, id, dir, runtime, record).then((exit) => {
        live.exit = exit;
        return exit;
      }),
    };
    this.#live.set(id, live);
    return live;
  }

  /** A monitor that was killed leaves its process, which is then looked after by us; its code is not known. */
  async #endOf(
    ended: Promise<ExitRecord>,
    id: string,
    dir: string,
    runtime: MonitoredRuntime,
    { pid, startTime }: ProcessRecord,
  ): Promise<ExitRecord> {
    try {
      return await ended;
    } catch (error) {
      if (this.#closed) return new Promise(() => {});
      log.warn("a container's monitor is gone", { id, error: messageOf(error) });
      return (await runtime.adopt(id, monitorDirOf(dir), pid, startTime)).exited;
    }
  }

  /** What has ended already is no error. */
  async signal(id: string, signal: number, all = false): Promise<void> {
    const live = this.find(id);
    if (!live || live.exit) return;
    try {
      await live.runtime.kill(id, signal, all);
    } catch (error) {
      if (isCode(error, "not_found")) return;
      // runsc does not signal a container that was never started; the process itself can still be ended.
      if (signal !== 9 || !live.monitor) throw error;
      log.debug("the runtime cannot kill", { id, error: messageOf(error) });
      await live.monitor.signal(signal).catch((failure) => {
        if (!isCode(failure, "not_found")) throw failure;
      });
    }
  }

  /** Ends what runs, and gives back all it had: the runtime's state and cgroup, the root's mount, its monitor. */
  async release(id: string): Promise<ExitRecord | undefined> {
    const live = this.find(id);
    if (!live) return undefined;
    if (!live.exit) {
      await this.signal(id, 9, true);
      if (!(await Promise.race([live.exited, sleep(killWait).then(() => undefined)])))
        throw new CortenError("deadline_exceeded", `container ${JSON.stringify(id)} does not end`);
    }
    await live.runtime.remove(id, true).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
    this.#forget(id, live);
    return live.exit;
  }

  #forget(id: string, { dir, monitor, runtime }: Pick<Live, "dir" | "monitor" | "runtime">): void {
    unmountAll(rootfsOf(dir), MNT_DETACH);
    monitor?.close();
    runtime.forget(id);
    rmSync(recordFile(dir), { force: true });
    this.#discard(monitorDirOf(dir));
    this.#live.delete(id);
  }

  async exec(id: string, process: Process, monitorDir: string, io: { terminal: boolean; stdin: boolean }) {
    const { runtime, record } = this.get(id);
    mkdirSync(monitorDir, { recursive: true, mode: 0o700 });
    return runtime.exec({
      id,
      bundle: record.bundle,
      process,
      monitor: { dir: monitorDir, ...io, hold: true },
    });
  }

  /** Finds again what an earlier server left in these directories: adopts what was made, undoes what was half made. */
  async adoptAll(dirs: ReadonlyMap<string, string>): Promise<void> {
    for (const [id, dir] of dirs) {
      const record = readRecord(dir);
      if (!record) continue;
      try {
        await this.#adopt(id, dir, record);
      } catch (error) {
        log.error("a process could not be found again", { id, error: messageOf(error) });
      }
    }
  }

  async #adopt(id: string, dir: string, record: ProcessRecord): Promise<void> {
    const runtime = this.open(record.choice);
    const monitorDir = monitorDirOf(dir);
    if (record.state === "making") {
      await runtime.endUnrecorded(id, monitorDir);
      await runtime.remove(id, true).catch((error) => {
        if (!isCode(error, "not_found")) log.warn("delete", { id, error: messageOf(error) });
      });
      await removeLeftCgroups(record.bundle, id, record.choice.runtime.systemdCgroup);
      this.#forget(id, { dir, monitor: undefined, runtime });
      return;
    }
    const { monitor, exited, over } = await runtime.adopt(id, monitorDir, record.pid, record.startTime);
    const live = this.#follow(id, dir, runtime, record, monitor, exited);
    if (over) await live.exited;
    // The server ended between the start and its record: only the runtime knows.
    else if (record.state === "made") {
      const status = await runtime.status(id).catch(() => "");
      if (status !== "created") record.state = "started";
    }
  }

  #save(dir: string, record: ProcessRecord): void {
    const path = recordFile(dir);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Drops the connections to the monitors; everything goes on. */
  close(): void {
    this.#closed = true;
    for (const { monitor } of this.#live.values()) monitor?.close();
  }
}

function readRecord(dir: string): ProcessRecord | undefined {
  if (!existsSync(recordFile(dir))) return undefined;
  try {
    return JSON.parse(readFileSync(recordFile(dir), "utf8")) as ProcessRecord;
  } catch (error) {
    log.error("a process' record cannot be read", { dir, error: messageOf(error) });
    return undefined;
  }
}

/** The directories below `parent`, by their names. */
export function directoriesIn(parent: string, inside = ""): Map<string, string> {
  const names = existsSync(parent) ? readdirSync(parent) : [];
  return new Map(names.map((name) => [name, join(parent, name, inside)]));
}

/** The code is always "unknown": a program not found inside must not look like a container that was not found. */
const wrap = (what: string, error: unknown) =>
  new CortenError("unknown", `${what}: ${messageOf(error)}`, { cause: error });
