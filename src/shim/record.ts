import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ExitRecord } from "../monitor/index.ts";
import type { Stdio } from "./stdio.ts";
import type { RuntimeChoice } from "./types.ts";

/** What is kept of one process. */
export interface ProcessRecord {
  /** "" for the container's init. */
  execId: string;
  stdio: Stdio;
  /** Where its monitor lives. */
  monitorDir: string;
  pid: number;
  /** Tells the process from a later one with the same pid. */
  startTime?: string;
  started: boolean;
  /** Set once the exit event is out. */
  exit?: ExitRecord;
  /** Of an exec: the process as the request had it. */
  process?: unknown;
}

/**
 * What is kept of a task in `<bundle>/task.json`, written before anything is made and at every change, so that
 * a daemon that starts after a kill -9 knows what there may be.
 */
export interface TaskRecord {
  version: 1;
  namespace: string;
  id: string;
  runtime: RuntimeChoice;
  /** `making` until create has answered: such a task is removed at the next start. */
  state: "making" | "made" | "deleting";
  /** Mounts are at `<bundle>/rootfs`. */
  mounted: boolean;
  ownPidNamespace: boolean;
  /** Of a foreign runtime's container, to see at its end whether the kernel killed for memory. */
  memoryCgroup?: string;
  processes: ProcessRecord[];
}

/** Bundles of all namespaces below a state directory: `<state>/io.containerd.runtime.v2.task/<ns>/<id>`. */
export class Bundles {
  readonly root: string;
  constructor(state: string) {
    this.root = join(state, "io.containerd.runtime.v2.task");
  }

  path(namespace: string, id: string): string {
    return join(this.root, namespace, id);
  }

  /** Fails with EEXIST when there is one already. */
  make(namespace: string, id: string): string {
    const path = this.path(namespace, id);
    mkdirSync(join(this.root, namespace), { recursive: true, mode: 0o711 });
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  save(record: TaskRecord): void {
    const path = join(this.path(record.namespace, record.id), "task.json");
    const temporary = `${path}.new`;
    // No fsync: the state directory is on tmpfs, or dies with the processes it describes.
    writeFileSync(temporary, JSON.stringify(record), { mode: 0o600 });
    renameSync(temporary, path);
  }

  remove(namespace: string, id: string): void {
    rmSync(this.path(namespace, id), { recursive: true, force: true });
  }

  /** All records; a bundle without a readable one is reported with `undefined`. */
  *load(): Generator<{ namespace: string; id: string; record: TaskRecord | undefined }> {
    for (const namespace of list(this.root))
      for (const id of list(join(this.root, namespace))) {
        let record: TaskRecord | undefined;
        try {
          record = JSON.parse(
            readFileSync(join(this.path(namespace, id), "task.json"), "utf8"),
          ) as TaskRecord;
          if (record.version !== 1) {
            log.warn(`task ${id} of ${namespace} was written by another version and is left alone`);
            continue;
          }
        } catch (error) {
          log.warn(`task ${id} of ${namespace} has no readable record`, { error: messageOf(error) });
        }
        yield { namespace, id, record };
      }
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
