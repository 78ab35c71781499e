import type { ContainerConfig, HostConfig, Sent } from "../../engine/types.ts";
import type { ContainerConfig as ImageContainerConfig } from "../../oci/image-spec.ts";
import type { DaemonConfig } from "../config.ts";
import { defaultMaskedPaths, defaultReadonlyPaths } from "../spec/security.ts";

/** A body with null for "not given" → only what was given. */
function given<T extends object>(sent: Sent<T> | null | undefined): Partial<T> {
  return Object.fromEntries(
    Object.entries(sent ?? {}).filter(([, value]) => value !== null && value !== undefined),
  ) as Partial<T>;
}

/** The whole of a config, with Go's zero values where nothing was sent. */
export function fullConfig(sent: Sent<ContainerConfig>): ContainerConfig {
  const known = given(sent);
  return {
    Hostname: "",
    Domainname: "",
    User: "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: null,
    Cmd: null,
    Image: "",
    Volumes: null,
    WorkingDir: "",
    Entrypoint: null,
    OnBuild: null,
    Labels: {},
    ...known,
  };
}

export function fullHostConfig(sent: Sent<HostConfig> | null | undefined): HostConfig {
  return {
    Binds: null,
    ContainerIDFile: "",
    LogConfig: { Type: "", Config: {} },
    NetworkMode: "",
    PortBindings: null,
    RestartPolicy: { Name: "", MaximumRetryCount: 0 },
    AutoRemove: false,
    VolumeDriver: "",
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: null,
    CapDrop: null,
    CgroupnsMode: "",
    Dns: null,
    DnsOptions: null,
    DnsSearch: null,
    ExtraHosts: null,
    GroupAdd: null,
    IpcMode: "",
    Cgroup: "",
    Links: null,
    OomScoreAdj: 0,
    PidMode: "",
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    SecurityOpt: null,
    UTSMode: "",
    UsernsMode: "",
    ShmSize: 0,
    Runtime: "",
    Isolation: "",
    CpuShares: 0,
    Memory: 0,
    NanoCpus: 0,
    CgroupParent: "",
    BlkioWeight: 0,
    BlkioWeightDevice: null,
    BlkioDeviceReadBps: null,
    BlkioDeviceWriteBps: null,
    BlkioDeviceReadIOps: null,
    BlkioDeviceWriteIOps: null,
    CpuPeriod: 0,
    CpuQuota: 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: "",
    CpusetMems: "",
    Devices: null,
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemoryReservation: 0,
    MemorySwap: 0,
    MemorySwappiness: null,
    OomKillDisable: null,
    PidsLimit: null,
    Ulimits: null,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: null,
    ReadonlyPaths: null,
    ...given(sent),
  };
}

/** Fills from the image what the request leaves open (Docker's order of precedence). */
export function mergeImage(config: ContainerConfig, image: ImageContainerConfig | undefined): void {
  const from = image ?? {};
  if (config.User === "") config.User = from.User ?? "";
  config.ExposedPorts = { ...(from.ExposedPorts ?? {}), ...(config.ExposedPorts ?? {}) };
  if (Object.keys(config.ExposedPorts).length === 0) delete config.ExposedPorts;
  const names = new Set((config.Env ?? []).map((entry) => entry.split("=")[0]));
  const inherited = (from.Env ?? []).filter((entry) => !names.has(entry.split("=")[0]));
  if (config.Env !== null || inherited.length > 0) config.Env = [...(config.Env ?? []), ...inherited];
  config.Labels = { ...(from.Labels ?? {}), ...(config.Labels ?? {}) };
  if ((config.Entrypoint ?? []).length === 0) {
    if ((config.Cmd ?? []).length === 0) config.Cmd = from.Cmd ?? null;
    config.Entrypoint ??= from.Entrypoint ?? null;
    if ((config.Entrypoint ?? []).length === 0) config.Entrypoint = from.Entrypoint ?? null;
  } else if (config.Entrypoint?.length === 1 && config.Entrypoint[0] === "") {
    // `--entrypoint ""`: none, not even the image's.
    config.Entrypoint = null;
  }
  if (from.Healthcheck) {
    const own = config.Healthcheck;
    if (!own || (own.Test ?? []).length === 0) {
      const merged = { ...from.Healthcheck } as NonNullable<ContainerConfig["Healthcheck"]>;
      for (const [key, value] of Object.entries(own ?? {}))
        if (key !== "Test" && value) Object.assign(merged, { [key]: value });
      config.Healthcheck = merged;
    }
  }
  if (config.WorkingDir === "") config.WorkingDir = from.WorkingDir ?? "";
  if (from.Volumes && Object.keys(from.Volumes).length > 0)
    config.Volumes = { ...from.Volumes, ...(config.Volumes ?? {}) };
  if (config.StopSignal === undefined || config.StopSignal === "") {
    if (from.StopSignal) config.StopSignal = from.StopSignal;
    else delete config.StopSignal;
  }
  if ((config.StopTimeout ?? null) === null && (from.StopTimeout ?? null) !== null)
    config.StopTimeout = from.StopTimeout!;
  if ((config.Shell ?? []).length === 0 && (from.Shell ?? []).length > 0) config.Shell = from.Shell!;
}

/** Writes out the defaults that depend on the daemon, so that inspect shows what holds. */
export function completeHost(host: HostConfig, config: DaemonConfig, cgroupVersion: 1 | 2): void {
  if (host.NetworkMode === "" || host.NetworkMode === "default")
    host.NetworkMode = config.bridge === "none" ? "none" : "bridge";
  if (host.IpcMode === "") host.IpcMode = "private";
  if (host.CgroupnsMode === "")
    host.CgroupnsMode = cgroupVersion === 2 && !host.Privileged ? "private" : "host";
  if (host.ShmSize === 0) host.ShmSize = config.defaultShmSize;
  if (host.RestartPolicy.Name === "") host.RestartPolicy = { Name: "no", MaximumRetryCount: 0 };
  if (host.Privileged) {
    host.MaskedPaths = null;
    host.ReadonlyPaths = null;
  } else {
    host.MaskedPaths ??= [...defaultMaskedPaths];
    host.ReadonlyPaths ??= [...defaultReadonlyPaths];
  }
  if (host.Init === undefined && config.init) host.Init = true;
}
