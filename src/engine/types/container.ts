import type { Sent } from "./common.ts";
import type {
  ContainerConfig,
  EndpointSettings,
  HostConfig,
  PortMap,
  Resources,
  RestartPolicy,
} from "./container-config.ts";
import type { Descriptor } from "./image.ts";

export type ContainerStatus =
  | "created"
  | "running"
  | "paused"
  | "restarting"
  | "removing"
  | "exited"
  | "dead";

export interface HealthcheckResult {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}
export interface Health {
  Status: "none" | "starting" | "healthy" | "unhealthy";
  FailingStreak: number;
  Log: HealthcheckResult[] | null;
}

export interface ContainerState {
  Status: ContainerStatus;
  Running: boolean;
  Paused: boolean;
  Restarting: boolean;
  OOMKilled: boolean;
  Dead: boolean;
  Pid: number;
  ExitCode: number;
  Error: string;
  StartedAt: string;
  FinishedAt: string;
  Health?: Health;
}

export interface MountPoint {
  Type: string;
  Name?: string;
  Source: string;
  Destination: string;
  Driver?: string;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

export interface NetworkSettings {
  Bridge: string;
  SandboxID: string;
  SandboxKey: string;
  Ports: PortMap | null;
  HairpinMode?: boolean;
  LinkLocalIPv6Address?: string;
  LinkLocalIPv6PrefixLen?: number;
  SecondaryIPAddresses?: unknown[] | null;
  SecondaryIPv6Addresses?: unknown[] | null;
  EndpointID: string;
  Gateway: string;
  GlobalIPv6Address: string;
  GlobalIPv6PrefixLen: number;
  IPAddress: string;
  IPPrefixLen: number;
  IPv6Gateway: string;
  MacAddress: string;
  Networks: Record<string, EndpointSettings>;
}

export interface GraphDriver {
  Name: string;
  Data: Record<string, string> | null;
}

/** `GET /containers/{id}/json?size=`. */
export interface ContainerInspect {
  Id: string;
  Created: string;
  Path: string;
  Args: string[];
  State: ContainerState;
  Image: string;
  ResolvConfPath: string;
  HostnamePath: string;
  HostsPath: string;
  LogPath: string;
  /** With a leading slash. */
  Name: string;
  RestartCount: number;
  Driver: string;
  Platform: string;
  MountLabel: string;
  ProcessLabel: string;
  AppArmorProfile: string;
  ExecIDs: string[] | null;
  HostConfig: HostConfig;
  GraphDriver: GraphDriver;
  SizeRw?: number;
  SizeRootFs?: number;
  ImageManifestDescriptor?: Descriptor;
  Mounts: MountPoint[];
  Config: ContainerConfig;
  NetworkSettings: NetworkSettings;
}

export interface Port {
  IP?: string;
  PrivatePort: number;
  PublicPort?: number;
  Type: string;
}

/** An entry of `GET /containers/json?all=&limit=&size=&filters=`. */
export interface ContainerSummary {
  Id: string;
  /** With leading slashes; links add `/other/alias`. */
  Names: string[];
  Image: string;
  ImageID: string;
  ImageManifestDescriptor?: Descriptor;
  Command: string;
  /** Unix seconds. */
  Created: number;
  Ports: Port[] | null;
  SizeRw?: number;
  SizeRootFs?: number;
  Labels: Record<string, string> | null;
  State: ContainerStatus;
  Status: string;
  HostConfig: { NetworkMode?: string; Annotations?: Record<string, string> };
  NetworkSettings: { Networks: Record<string, EndpointSettings> } | null;
  Mounts: MountPoint[];
}

/** `POST /containers/{id}/wait?condition=`: the body comes at exit. */
export type WaitCondition = "not-running" | "next-exit" | "removed";
export interface WaitResponse {
  StatusCode: number;
  Error?: { Message: string } | null;
}

/** `GET /containers/{id}/top?ps_args=`. */
export interface TopResponse {
  Titles: string[];
  Processes: string[][];
}

/** `GET /containers/{id}/changes`; Kind 0 modified, 1 added, 2 deleted. */
export interface FilesystemChange {
  Path: string;
  Kind: 0 | 1 | 2;
}

export interface PruneContainersResponse {
  ContainersDeleted: string[] | null;
  SpaceReclaimed: number;
}

/** `POST /containers/{id}/update`. */
export interface UpdateContainerRequest extends Sent<Resources> {
  RestartPolicy?: RestartPolicy | null;
}
export interface CreateCheckpointRequest {
  CheckpointID?: string;
  /** Of the daemon's machine; below the container's own when left out. */
  CheckpointDir?: string;
  /** The container ends with it. */
  Exit?: boolean;
}

export interface Checkpoint {
  Name: string;
}

export interface UpdateContainerResponse {
  Warnings: string[] | null;
}

/** Base64 JSON in the `X-Docker-Container-Path-Stat` header of HEAD and GET archive. */
export interface PathStat {
  name: string;
  size: number;
  /** Go's os.FileMode: permission bits plus high type bits. */
  mode: number;
  mtime: string;
  linkTarget: string;
}

export interface BlkioEntry {
  major: number;
  minor: number;
  op: string;
  value: number;
}
export interface CpuStats {
  cpu_usage: {
    total_usage: number;
    percpu_usage?: number[] | null;
    usage_in_kernelmode: number;
    usage_in_usermode: number;
  };
  system_cpu_usage?: number;
  online_cpus?: number;
  throttling_data: { periods: number; throttled_periods: number; throttled_time: number };
}
/** `GET /containers/{id}/stats?stream=&one-shot=`: one object per line. */
export interface ContainerStats {
  name: string;
  id: string;
  read: string;
  preread: string;
  pids_stats: { current?: number; limit?: number };
  blkio_stats: {
    io_service_bytes_recursive: BlkioEntry[] | null;
    io_serviced_recursive: BlkioEntry[] | null;
    io_queue_recursive: BlkioEntry[] | null;
    io_service_time_recursive: BlkioEntry[] | null;
    io_wait_time_recursive: BlkioEntry[] | null;
    io_merged_recursive: BlkioEntry[] | null;
    io_time_recursive: BlkioEntry[] | null;
    sectors_recursive: BlkioEntry[] | null;
  };
  num_procs: number;
  storage_stats: Record<string, number>;
  cpu_stats: CpuStats;
  precpu_stats: CpuStats;
  memory_stats: {
    usage?: number;
    max_usage?: number;
    stats?: Record<string, number>;
    failcnt?: number;
    limit?: number;
  };
  networks?: Record<
    string,
    {
      rx_bytes: number;
      rx_packets: number;
      rx_errors: number;
      rx_dropped: number;
      tx_bytes: number;
      tx_packets: number;
      tx_errors: number;
      tx_dropped: number;
    }
  >;
}
