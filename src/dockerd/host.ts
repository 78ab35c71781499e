import type { ContainerdClient, PullOptions } from "../containerd/client/index.ts";
import type { Spec } from "../oci/runtime-spec.ts";

/** A mount as containerd describes it. */
export interface SnapshotMount {
  type: string;
  source: string;
  target?: string;
  options: string[];
}

export interface FileInfo {
  name: string;
  size: number;
  /** st_mode. */
  mode: number;
  mtimeNs: bigint;
  /** Target of a symlink, else "". */
  linkTarget: string;
  isDirectory: boolean;
}

/** A difference between a container's filesystem and its image's. */
export interface FileChange {
  path: string;
  kind: "modified" | "added" | "deleted";
  directory: boolean;
}

/** A container's filesystem. Every path is resolved inside of it, whatever its links say. */
export interface RootfsTree {
  /** A small file's text, undefined when there is none. */
  readText(path: string, limit: number): string | undefined;
  /** What the path leads to; `follow: false` for the last link itself. */
  stat(path: string, options?: { follow?: boolean }): FileInfo | undefined;
  /** Makes a directory and its parents, owned by `uid:gid` where made. */
  makeDirectory(path: string, mode: number, owner: { uid: number; gid: number }): void;
  /** Makes an empty file with its parents, for a file to be mounted on. */
  makeFile(path: string, mode?: number): void;
  makeLink(path: string, target: string): void;
  /** What keeps a place from being written: its mount; and whether that is the root's own. */
  mountOf(path: string): { readonly: boolean; root: boolean };
  /** Copies what is in the directory `path` to the host's `destination`, with owners, modes and times. */
  copyOut(path: string, destination: string): Promise<void>;
  /** The file or directory as a tar whose entries begin with `name`. */
  pack(path: string, name: string): AsyncIterable<Uint8Array>;
  /** All of it as a tar, names without a root. */
  packAll(): AsyncIterable<Uint8Array>;
  /** Unpacks a tar into the directory `path`; `owner` in place of the archive's owners. */
  extract(
    path: string,
    archive: AsyncIterable<Uint8Array>,
    options: { keepKinds: boolean; owner?: { uid: number; gid: number } },
  ): Promise<void>;
}

/**
 * What the daemon does to the machine besides containerd, networking and monitors. The wiring in cmd/ supplies it,
 * since this folder has no access to system calls, registries or the runtime.
 */
export interface Host {
  /** The tree `mounts` make, with `binds` (shallow ones first) over it; their places are made where missing. */
  withTree<T>(
    mounts: readonly SnapshotMount[],
    work: (tree: RootfsTree) => Promise<T> | T,
    binds?: ReadonlyArray<{
      source: string;
      /** Below the source, resolved inside of it. */
      subpath?: string | undefined;
      destination: string;
      readonly: boolean;
    }>,
  ): Promise<T>;
  /** What the tree of `upper` has otherwise than that of `lower`. */
  changes(lower: readonly SnapshotMount[], upper: readonly SnapshotMount[]): Promise<FileChange[]>;
  /** The filesystem that a running process sees. */
  withProcessTree<T>(pid: number, work: (tree: RootfsTree) => Promise<T> | T): Promise<T>;
  /** Where the root of a running container is mounted here, for one whose processes are in a machine. */
  machineRootfs(id: string): string;
  /** What an administrator should know of machines on this host. */
  machineWarning(): Promise<string | undefined>;
  /** A path that shows what `subpath` leads to inside of the volume `source`, until `end()`. */
  bindSubpath(source: string, subpath: string): { path: string; end(): void };
  /** A tmpfs for `/dev/shm` shared between containers. */
  mountTmpfs(path: string, options: string[]): void;
  /** Gives a file or a tree its SELinux label, by the rules of `src/sys/relabel.ts`. */
  relabel(path: string, label: string): Promise<void>;
  /** A mount for a local volume with options of `mount(8)`. */
  mountVolume(mount: { type: string; source: string; options: string }, path: string): void;
  unmount(path: string): void;
  /** Distribution, with credentials and TLS as the daemon is configured. */
  resolver(options: {
    credentials?: (registry: string) => HostCredentials | undefined | Promise<HostCredentials | undefined>;
    /** For a login: token servers are asked for a token in place of the password. */
    offline?: boolean;
    signal?: AbortSignal;
  }): PullOptions["resolver"];
  /** How often the kernel has killed in the memory cgroup of a process; undefined when that is gone. */
  oomKills(pid: number): number | undefined;
  /** The kernel operations of a spec, without running it. */
  explain(spec: Spec): Promise<string[]>;
  /** Path of docker-init or tini on this machine. */
  initBinary(): string | undefined;
}

export interface HostCredentials {
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}

export type { ContainerdClient };
