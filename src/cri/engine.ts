import type { ContainerConfig } from "../../proto/gen/runtime/v1/container_config_pb.ts";
import type { PodSandboxConfig } from "../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import type { Attachment } from "../monitor/index.ts";
import type { Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image-spec.ts";
import type { LinuxResources, Spec } from "../oci/runtime-spec.ts";
import type { CgroupStats } from "../sys/cgroup/index.ts";
import type { Mount } from "../sys/mount.ts";
import type { RuntimeHandlerConfig } from "./config.ts";
import type { Container, ContainerRecord } from "./records.ts";
import type { ExecOptions } from "./streaming/types.ts";

export type { ExecOptions };

/** An image of the node as Kubernetes sees it: one per configuration digest, with all its names. */
export interface CriImage {
  /** Digest of the configuration. */
  id: Digest;
  tags: string[];
  digests: string[];
  size: number;
  config: ImageConfig;
  /** Digest of the target the names point at. */
  target: Digest;
  /** Name of the committed snapshot of the image's files; undefined for an image without layers. */
  chainId: Digest | undefined;
  pinned: boolean;
}

export interface End {
  exitCode: number;
  /** Nanoseconds. */
  exitedAt: string;
  reason?: string;
}

/** A command that runs in a container. */
export interface RunningExec {
  readonly streams: Attachment;
  /** Its exit code, when all output has been read or dropped. */
  readonly exited: Promise<number>;
  resize(rows: number, columns: number): Promise<void>;
  /** After the client's end of stdin, for who must be told. */
  stdinEnded(): void;
  kill(): Promise<void>;
  /** All that was made for it goes. */
  release(): Promise<void>;
}

/** A client at the streams of a container's own process. */
export interface RunningAttach {
  readonly streams: Attachment;
  readonly exited: Promise<unknown>;
  resize(rows: number, columns: number): Promise<void>;
  stdinEnded(): void;
  close(): void;
}

/** A container as it is to be: everything about it is decided. */
export interface MadeContainer {
  id: string;
  spec: Spec;
  runtime: RuntimeHandlerConfig;
  labels: Record<string, string>;
  /** Absent for what holds a pod: it has no image and no writable layer. */
  layer?: { snapshotter: string; image: CriImage };
  /** What kubelet asked for, for engines that have more to say about the spec. */
  asked?: { config: ContainerConfig; pod: PodSandboxConfig };
}

/** What is made within one `making` is kept from being collected until it is referred to. */
export interface Making {
  /** A writable layer of the container's own on top of the image. */
  prepare(record: ContainerRecord, image: CriImage): Promise<Mount[]>;
  /** A read-only look at an image. */
  view(record: ContainerRecord, key: string, image: CriImage): Promise<Mount[]>;
  create(container: MadeContainer): Promise<void>;
}

/** What a container takes: nanoseconds of processors, and memory. */
export interface Counters {
  cpu: bigint;
  stats: {
    memory: Pick<CgroupStats["memory"], "usage" | "swap" | "raw">;
    pids: CgroupStats["pids"];
  };
}

export interface FoundTask {
  status: "created" | "running" | "stopped";
  pid: number;
  end: End;
}

/**
 * What pods are run by: a containerd (cri/containerd), or a store and an OCI runtime (crio). The verbs of pods and
 * containers know nothing else of it.
 */
export interface Engine {
  /** As Version tells them. */
  readonly name: string;
  readonly version: string;
  features(handler: string): { recursiveReadOnlyMounts: boolean; userNamespaces?: boolean };
  /** By a name, an id or the beginning of one; throws `not_found`. */
  image(text: string): Promise<CriImage>;
  making<T>(work: (making: Making) => Promise<T>): Promise<T>;
  /** All that `making` made for a container, as far as it is there. */
  discard(record: ContainerRecord): Promise<void>;
  /** What was created under an id; undefined when it is gone. */
  made(id: string): Promise<{ spec: Spec; runtimeType: string } | undefined>;
  /** Starts a container's process. `ended` never rejects; undefined: the server closed before the end. */
  start(container: Container): Promise<{ pid: number; ended: Promise<End | undefined> }>;
  /** The end of a process that a server before this one started. */
  wait(id: string): Promise<End | undefined>;
  /** What has ended already is no error. */
  signal(id: string, signal: number): Promise<void>;
  /** Gives back what a process that has ended had, and says whether memory was short. */
  release(container: Container): Promise<{ oomKilled: boolean }>;
  /** Ends and removes what starts and execs of a server that was killed in the middle of them have left. */
  abandon?(record: ContainerRecord): Promise<void>;
  /** Deletes a process that waits for its start, which nobody will give. */
  unstart(id: string): Promise<void>;
  exec(container: Container, options: ExecOptions): Promise<RunningExec>;
  attach(
    container: Container,
    want: { stdin: boolean; stdout: boolean; stderr: boolean },
  ): Promise<RunningAttach>;
  reopenLog(container: Container): Promise<void>;
  /** `resources` are for the running process. */
  update(id: string, spec: Spec, resources: LinuxResources | undefined): Promise<void>;
  /** Creates and starts what holds a pod's PID namespace; gives its pid. */
  startHolder(holder: MadeContainer): Promise<number>;
  /** Ends and removes it, as far as it is there. */
  endHolder(id: string): Promise<void>;
  /** 0 when it does not run. */
  holderPid(id: string): Promise<number>;
  /** Every process that is there, by container or pod. */
  tasks(): Promise<Map<string, FoundTask>>;
  /** The counters of a running container that are not those of a cgroup of this machine. */
  counters?(container: Container): Promise<Counters | undefined>;
  /** What a container's writable layer takes. */
  usage(record: ContainerRecord): Promise<{ size: bigint; inodes: bigint }>;
  /** Saves a running container, which goes on: CRIU's images in `<directory>/checkpoint`, its log in `directory`. */
  checkpoint(container: Container, directory: string): Promise<void>;
  /** What a container's writable layer adds to its image, as a tar. */
  changes(record: ContainerRecord): AsyncIterable<Uint8Array>;
  /** Where layers are on disk. */
  layersRoot(snapshotter: string): Promise<string>;
  close(): Promise<void>;
}
