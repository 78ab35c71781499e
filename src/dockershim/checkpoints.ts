/**
 * What is kept of pods besides the daemon's containers: cri-dockerd's checkpoint files, one per pod, which it can read as
 * well, with what CNI needs under a key of our own. A pod's network can be given back when its container is gone.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { AddedNetwork } from "../cri/cni/types.ts";
import { type CheckpointData, checksum } from "./spew.ts";

export interface OwnPart {
  uid: string;
  attempt: number;
  /** `making` until the pod is on its network; `released` when it has given it back. */
  state: "making" | "ready" | "released";
  ips: string[];
  /** Its containers may be. */
  privileged?: boolean;
  network?: AddedNetwork;
}

export interface Checkpoint {
  name: string;
  namespace: string;
  data: CheckpointData;
  /** Absent in what cri-dockerd wrote. */
  own?: OwnPart;
}

const version = "v1";

export class Checkpoints {
  readonly #directory: string;
  readonly #byId = new Map<string, Checkpoint>();

  /** Reads all there are; one that cannot be read is no use to anyone and goes. */
  constructor(root: string) {
    this.#directory = join(root, "sandbox");
    mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
    for (const id of readdirSync(this.#directory)) {
      const path = join(this.#directory, id);
      // What was being written when its writer was killed.
      if (id.startsWith(".")) {
        rmSync(path, { force: true });
        continue;
      }
      try {
        this.#byId.set(id, parseCheckpoint(readFileSync(path, "utf8")));
      } catch (error) {
        log.error("a checkpoint is corrupt and is removed", { id, error: messageOf(error) });
        rmSync(path, { force: true });
      }
    }
  }

  get(id: string): Checkpoint | undefined {
    return this.#byId.get(id);
  }

  /** By the beginning of an id, when there is only one. */
  find(id: string): [string, Checkpoint] | undefined {
    if (id === "") return undefined;
    const found = [...this.#byId].filter(([full]) => full.startsWith(id));
    return found.length === 1 ? found[0] : undefined;
  }

  all(): Array<[string, Checkpoint]> {
    return [...this.#byId];
  }

  /** Visible only complete, and on the disk before it counts. */
  save(id: string, checkpoint: Checkpoint): void {
    this.#byId.set(id, checkpoint);
    const temporary = join(this.#directory, `.${id}`);
    const fd = openSync(temporary, "w", 0o600);
    try {
      writeSync(fd, formatCheckpoint(checkpoint));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, join(this.#directory, id));
  }

  drop(id: string): void {
    this.#byId.delete(id);
    rmSync(join(this.#directory, id), { force: true });
  }
}

export function formatCheckpoint({ name, namespace, data, own }: Checkpoint): string {
  return JSON.stringify({
    version,
    name,
    namespace,
    data: {
      ...(data.port_mappings?.length ? { port_mappings: data.port_mappings } : {}),
      ...(data.host_network ? { host_network: true } : {}),
    },
    checksum: checksum(data),
    ...(own ? { corten: own } : {}),
  });
}

export function parseCheckpoint(text: string): Checkpoint {
  const value = JSON.parse(text) as {
    version?: string;
    name?: string;
    namespace?: string;
    data?: CheckpointData | null;
    checksum?: number;
    corten?: OwnPart;
  };
  if (value.version !== version) throw new Error(`version ${JSON.stringify(value.version)} is not known`);
  if (typeof value.name !== "string" || typeof value.namespace !== "string")
    throw new Error("it names no pod");
  const data = value.data ?? {};
  if (value.checksum !== checksum(data)) throw new Error("its checksum is wrong");
  return {
    name: value.name,
    namespace: value.namespace,
    data,
    ...(value.corten ? { own: value.corten } : {}),
  };
}
