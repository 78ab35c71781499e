import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namesIn } from "../base/directory.ts";
import { asCortenError, invalid, isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Removal } from "../base/removal.ts";
import type { ExitRecord } from "../monitor/index.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { makeSpreadDirectory } from "../sys/spread.ts";
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
  /** The images that its start restores, instead of starting what create has made. */
  checkpoint?: { imagePath: string; workPath: string };
  /** Of a foreign runtime's container, to see at its end whether the kernel killed for memory. */
  memoryCgroup?: string;
  processes: ProcessRecord[];
}

/** Bytes of saves after which a record is written anew. */
const longestRecord = 1 << 16;

/** Bundles of all namespaces below a state directory: `<state>/io.containerd.runtime.v2.task/<ns>/<id>`. */
export class Bundles {
  readonly root: string;
  /** Takes what is to be removed out of the way of whoever waits. */
  readonly removal: Removal;
  /** What is in the `config.json` of bundles about to be created, where it need not be read for that. */
  readonly specs = new Map<string, Spec>();
  /** The sizes of the records written by this process. */
  readonly #sizes = new Map<string, number>();
  constructor(state: string, removed = join(state, "removed")) {
    this.root = join(state, "io.containerd.runtime.v2.task");
    this.removal = new Removal(removed);
  }

  path(namespace: string, id: string): string {
    return join(this.root, namespace, id);
  }

  /** Fails with EEXIST when there is one already. */
  make(namespace: string, id: string): string {
    const path = this.path(namespace, id);
    makeSpreadDirectory(join(this.root, namespace), 0o711);
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  /**
   * Each save is a line, the last whole one counts: to replace a file makes ext4 write the new one to disk at once.
   * No fsync either: the state directory is on tmpfs, or dies with the processes it describes.
   */
  save(record: TaskRecord): void {
    const path = join(this.path(record.namespace, record.id), "task.json");
    const line = `${JSON.stringify(record)}\n`;
    const size = this.#sizes.get(path);
    if (size !== undefined && size < longestRecord) {
      appendFileSync(path, line);
      this.#sizes.set(path, size + line.length);
      return;
    }
    if (record.state === "making") {
      // The first, of a bundle that holds nothing else yet: one cut short is as good as none.
      writeFileSync(path, line, { mode: 0o600 });
      this.#sizes.set(path, line.length);
      return;
    }
    const temporary = `${path}.new`;
    writeFileSync(temporary, line, { mode: 0o600 });
    renameSync(temporary, path);
    this.#sizes.set(path, line.length);
  }

  /** The runtime's state directory: `asked` is what the request's options say. */
  runtimeRoot(state: string, namespace: string): (asked: string) => string {
    return (asked) => join(asked || join(state, "runc"), namespace);
  }

  /** Fails for a bundle that is not where those of this place are. */
  claim(namespace: string, id: string, bundle: string): void {
    if (bundle !== this.path(namespace, id))
      throw invalid(`bundle ${bundle} of ${id} is not below ${this.root}`);
  }

  remove(namespace: string, id: string): void {
    const path = this.path(namespace, id);
    this.forget(path);
    this.removal.discard(path);
  }

  /** The record of this bundle is about to go. */
  protected forget(bundle: string): void {
    this.#sizes.delete(join(bundle, "task.json"));
  }

  /** The record of one task; undefined when there is none that can be read. */
  read(namespace: string, id: string): TaskRecord | undefined {
    try {
      return lastRecord(readFileSync(join(this.path(namespace, id), "task.json"), "utf8"));
    } catch (error) {
      if (!isCode(asCortenError(error), "not_found"))
        log.warn(`task ${id} of ${namespace} has no readable record`, { error: messageOf(error) });
      return undefined;
    }
  }

  /** All records; a bundle without a readable one is reported with `undefined`. */
  *load(): Generator<{ namespace: string; id: string; record: TaskRecord | undefined }> {
    for (const namespace of namesIn(this.root))
      for (const id of namesIn(join(this.root, namespace))) {
        // Of a shim that is a process of its own (containerd/shims).
        if (existsSync(join(this.path(namespace, id), "shim-binary-path"))) continue;
        let record: TaskRecord | undefined;
        try {
          record = lastRecord(readFileSync(join(this.path(namespace, id), "task.json"), "utf8"));
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

/** A line that a kill cut short has no end, and never counted; one alone was written as a whole. */
function lastRecord(text: string): TaskRecord {
  const lines = text.split("\n");
  const last = lines.length > 1 ? lines.at(-2) : text;
  return JSON.parse(last ?? "") as TaskRecord;
}
