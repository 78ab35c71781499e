/** What is kept of pods and containers, in memory and in SQLite, so that a killed server finds all of it again. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
} from "../../proto/gen/runtime/v1/common_pb.ts";
import {
  type ContainerConfig,
  ContainerConfigSchema,
} from "../../proto/gen/runtime/v1/container_config_pb.ts";
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from "../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { Database } from "../base/database.ts";
import { invalid, notFound } from "../base/errors.ts";
import { SelinuxLabels } from "../oci/selinux.ts";
import type { AddedNetwork } from "./cni/types.ts";

export interface SandboxRecord {
  id: string;
  /** `making` and `removing` are undone or finished by the next start. */
  state: "making" | "ready" | "notready" | "removing";
  /** Nanoseconds since 1970, as text: JSON has no such numbers. */
  createdAt: string;
  /** As it was asked for; empty for the default. */
  runtimeHandler: string;
  hostNetwork: boolean;
  /** Files of the pod's namespaces; absent ones are the host's, or (pid) the holder's. */
  namespaces: { user?: string; net?: string; ipc?: string; uts?: string };
  /** A process that holds the pod's PID namespace, as a task under the pod's id. A user namespace has always come with one. */
  holder: boolean;
  hostname: string;
  ips: string[];
  network?: AddedNetwork;
  /** Network, namespaces and holder are given back: a pod that is not ready may still have them. */
  released?: boolean;
  /** SELinux labels, where there are any: of its processes and of its files. */
  processLabel?: string;
  mountLabel?: string;
}

export interface ContainerRecord {
  id: string;
  sandboxId: string;
  state: "making" | "created" | "running" | "exited" | "removing";
  createdAt: string;
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  reason: string;
  message: string;
  pid: number;
  /** The image's id and the name it was asked for by. */
  imageId: string;
  imageRef: string;
  snapshotter: string;
  logPath: string;
  stopSignal: string;
  user: { uid: number; gid: number; additionalGids: number[] };
  cgroupsPath: string;
  /** View snapshots and directories made for it alone. */
  views: string[];
  /** Where its monitor lives while it runs. */
  monitorDir: string;
  mounts: Array<{ destination: string; source: string }>;
  /** SELinux labels, where there are any. A privileged container's process goes without its own, but keeps its level. */
  processLabel?: string;
  mountLabel?: string;
}

export interface Sandbox {
  readonly record: SandboxRecord;
  readonly config: PodSandboxConfig;
}

export interface Container {
  readonly record: ContainerRecord;
  readonly config: ContainerConfig;
  /** Current limits: updates change them. */
  resources: LinuxContainerResources | undefined;
  /** Settles when the end of the running process has been dealt with. */
  ended: Promise<void> | undefined;
  oomKilled?: boolean;
}

const migrations = [
  `CREATE TABLE sandboxes (id TEXT PRIMARY KEY, record TEXT NOT NULL, config BLOB NOT NULL) STRICT;
   CREATE TABLE containers (id TEXT PRIMARY KEY, record TEXT NOT NULL, config BLOB NOT NULL, resources BLOB) STRICT;`,
];

/** Finds by a whole id or by the beginning of exactly one. */
class Objects<T> {
  readonly #byId = new Map<string, T>();
  readonly #what: string;
  constructor(what: string) {
    this.#what = what;
  }

  all(): T[] {
    return [...this.#byId.values()];
  }

  /** Undefined when there is none; an ambiguous prefix is refused. */
  find(id: string): T | undefined {
    const exact = this.#byId.get(id);
    if (exact || id === "") return exact;
    const matches = [...this.#byId].filter(([full]) => full.startsWith(id));
    if (matches.length > 1) throw invalid(`${this.#what} id ${JSON.stringify(id)} is ambiguous`);
    return matches[0]?.[1];
  }

  get(id: string): T {
    const found = this.find(id);
    if (!found)
      throw notFound(`an error occurred when try to find ${this.#what} ${JSON.stringify(id)}: not found`);
    return found;
  }

  put(id: string, value: T): void {
    this.#byId.set(id, value);
  }

  drop(id: string): void {
    this.#byId.delete(id);
  }
}

export class Records implements Disposable {
  readonly sandboxes = new Objects<Sandbox>("sandbox");
  readonly containers = new Objects<Container>("container");
  readonly #db: Database;

  constructor(
    path: string,
    /** What the objects have of them is given to no other. */
    readonly selinux = new SelinuxLabels(undefined),
  ) {
    this.#db = new Database(path, migrations);
    for (const row of this.#db.all<{ id: string; record: string; config: Uint8Array }>(
      "SELECT * FROM sandboxes",
    ))
      this.sandboxes.put(row.id, {
        record: JSON.parse(row.record) as SandboxRecord,
        config: fromBinary(PodSandboxConfigSchema, row.config),
      });
    for (const row of this.#db.all<{
      id: string;
      record: string;
      config: Uint8Array;
      resources: Uint8Array | null;
    }>("SELECT * FROM containers"))
      this.containers.put(row.id, {
        record: JSON.parse(row.record) as ContainerRecord,
        config: fromBinary(ContainerConfigSchema, row.config),
        resources: row.resources ? fromBinary(LinuxContainerResourcesSchema, row.resources) : undefined,
        ended: undefined,
      });
    for (const { record } of [...this.sandboxes.all(), ...this.containers.all()])
      this.selinux.reserve(record.processLabel ?? "");
  }

  /** A level that another container of the pod has as well stays taken. */
  #releaseLabel(label: string | undefined): void {
    const others = [...this.sandboxes.all(), ...this.containers.all()];
    this.selinux.release(
      label ?? "",
      others.map(({ record }) => record.processLabel),
    );
  }

  saveSandbox(sandbox: Sandbox): void {
    const { record, config } = sandbox;
    this.sandboxes.put(record.id, sandbox);
    this.#db.run(
      "INSERT INTO sandboxes (id, record, config) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record, config = excluded.config",
      record.id,
      JSON.stringify(record),
      toBinary(PodSandboxConfigSchema, config),
    );
  }

  dropSandbox(id: string): void {
    const label = this.sandboxes.find(id)?.record.processLabel;
    this.sandboxes.drop(id);
    this.#releaseLabel(label);
    this.#db.run("DELETE FROM sandboxes WHERE id = ?", id);
  }

  saveContainer(container: Container): void {
    const { record, config, resources } = container;
    this.containers.put(record.id, container);
    this.#db.run(
      "INSERT INTO containers (id, record, config, resources) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record, resources = excluded.resources",
      record.id,
      JSON.stringify(record),
      toBinary(ContainerConfigSchema, config),
      resources ? toBinary(LinuxContainerResourcesSchema, resources) : null,
    );
  }

  dropContainer(id: string): void {
    const label = this.containers.find(id)?.record.processLabel;
    this.containers.drop(id);
    this.#releaseLabel(label);
    this.#db.run("DELETE FROM containers WHERE id = ?", id);
  }

  containersOf(sandboxId: string): Container[] {
    return this.containers.all().filter(({ record }) => record.sandboxId === sandboxId);
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]();
  }
}

/** What to add to the monotonic clock to have the time of day. */
let offset =
  BigInt(Math.round(performance.timeOrigin * 1e6)) +
  BigInt(Math.round(performance.now() * 1e6)) -
  process.hrtime.bigint();
let latest = 0n;

/**
 * Nanoseconds since 1970, each time more than before: kubelet takes what it is told by the time of it, and leaves aside what
 * is not newer than what it knows. The clock of the day is read in milliseconds; the monotonic one tells what is between.
 */
export function nowNanoseconds(): string {
  const floor = BigInt(Date.now()) * 1_000_000n;
  let now = process.hrtime.bigint() + offset;
  if (now < floor) {
    offset += floor - now;
    now = floor;
  } else if (now >= floor + 1_000_000n) {
    offset -= now - floor - 999_999n;
    now = floor + 999_999n;
  }
  latest = now > latest ? now : latest + 1n;
  return String(latest);
}

/** Nanoseconds since 1970 of a time as RFC 3339 has it, with all its digits. */
export function nanosecondsOf(time: string): string {
  const fraction = /\.(\d{1,9})\d*(?=Z|[+-])/.exec(time)?.[1] ?? "";
  const seconds = Date.parse(time.replace(/\.\d+/, ""));
  return String(BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(9, "0")));
}
