import type { Shape } from "../http/decode.ts";

/** What of the Engine API's bodies is struct (keys matched whatever their case) and what is map. */
const strings: Shape = { list: "string" };
const labels: Shape = { map: "string" };

const healthFields = {
  Test: "strings",
  Interval: "number",
  Timeout: "number",
  StartPeriod: "number",
  StartInterval: "number",
  Retries: "number",
} as const satisfies Record<string, Shape>;

export const configFields: Record<string, Shape> = {
  Hostname: "string",
  Domainname: "string",
  User: "string",
  AttachStdin: "boolean",
  AttachStdout: "boolean",
  AttachStderr: "boolean",
  ExposedPorts: { map: "any" },
  Tty: "boolean",
  OpenStdin: "boolean",
  StdinOnce: "boolean",
  Env: strings,
  Cmd: "strings",
  Healthcheck: { fields: healthFields },
  ArgsEscaped: "boolean",
  Image: "string",
  Volumes: { map: "any" },
  WorkingDir: "string",
  Entrypoint: "strings",
  NetworkDisabled: "boolean",
  MacAddress: "string",
  OnBuild: strings,
  Labels: labels,
  StopSignal: "string",
  StopTimeout: "number",
  Shell: "strings",
};

const weights: Shape = { list: { fields: { Path: "string", Weight: "number" } } };
const throttles: Shape = { list: { fields: { Path: "string", Rate: "number" } } };
const device: Shape = {
  fields: { PathOnHost: "string", PathInContainer: "string", CgroupPermissions: "string" },
};

export const restartPolicy: Shape = { fields: { Name: "string", MaximumRetryCount: "number" } };

export const resourceFields: Record<string, Shape> = {
  CpuShares: "number",
  Memory: "number",
  NanoCpus: "number",
  CgroupParent: "string",
  BlkioWeight: "number",
  BlkioWeightDevice: weights,
  BlkioDeviceReadBps: throttles,
  BlkioDeviceWriteBps: throttles,
  BlkioDeviceReadIOps: throttles,
  BlkioDeviceWriteIOps: throttles,
  CpuPeriod: "number",
  CpuQuota: "number",
  CpuRealtimePeriod: "number",
  CpuRealtimeRuntime: "number",
  CpusetCpus: "string",
  CpusetMems: "string",
  Devices: { list: device },
  DeviceCgroupRules: strings,
  DeviceRequests: {
    list: {
      fields: {
        Driver: "string",
        Count: "number",
        DeviceIDs: strings,
        Capabilities: { list: strings },
        Options: labels,
      },
    },
  },
  KernelMemory: "number",
  KernelMemoryTCP: "number",
  MemoryReservation: "number",
  MemorySwap: "number",
  MemorySwappiness: "number",
  OomKillDisable: "boolean",
  PidsLimit: "number",
  Ulimits: { list: { fields: { Name: "string", Hard: "number", Soft: "number" } } },
  CpuCount: "number",
  CpuPercent: "number",
  IOMaximumIOps: "number",
  IOMaximumBandwidth: "number",
};

const mount: Shape = {
  fields: {
    Type: "string",
    Source: "string",
    Target: "string",
    ReadOnly: "boolean",
    Consistency: "string",
    BindOptions: {
      fields: {
        Propagation: "string",
        NonRecursive: "boolean",
        CreateMountpoint: "boolean",
        ReadOnlyNonRecursive: "boolean",
        ReadOnlyForceRecursive: "boolean",
      },
    },
    VolumeOptions: {
      fields: {
        NoCopy: "boolean",
        Labels: labels,
        Subpath: "string",
        DriverConfig: { fields: { Name: "string", Options: labels } },
      },
    },
    ImageOptions: { fields: { Subpath: "string" } },
    TmpfsOptions: { fields: { SizeBytes: "number", Mode: "number", Options: { list: strings } } },
    ClusterOptions: "any",
  },
};

export const hostFields: Record<string, Shape> = {
  ...resourceFields,
  Binds: strings,
  ContainerIDFile: "string",
  LogConfig: { fields: { Type: "string", Config: labels } },
  NetworkMode: "string",
  PortBindings: { map: { list: { fields: { HostIp: "string", HostPort: "string" } } } },
  RestartPolicy: restartPolicy,
  AutoRemove: "boolean",
  VolumeDriver: "string",
  VolumesFrom: strings,
  ConsoleSize: { list: "number" },
  Annotations: labels,
  CapAdd: "strings",
  CapDrop: "strings",
  CgroupnsMode: "string",
  Dns: strings,
  DnsOptions: strings,
  DnsSearch: strings,
  ExtraHosts: strings,
  GroupAdd: strings,
  IpcMode: "string",
  Cgroup: "string",
  Links: strings,
  OomScoreAdj: "number",
  PidMode: "string",
  Privileged: "boolean",
  PublishAllPorts: "boolean",
  ReadonlyRootfs: "boolean",
  SecurityOpt: strings,
  StorageOpt: labels,
  Tmpfs: labels,
  UTSMode: "string",
  UsernsMode: "string",
  ShmSize: "number",
  Sysctls: labels,
  Runtime: "string",
  Isolation: "string",
  Mounts: { list: mount },
  MaskedPaths: strings,
  ReadonlyPaths: strings,
  Init: "boolean",
};

export const hostShape: Shape = { fields: hostFields };

export const endpointShape: Shape = {
  fields: {
    IPAMConfig: { fields: { IPv4Address: "string", IPv6Address: "string", LinkLocalIPs: strings } },
    Links: strings,
    Aliases: strings,
    MacAddress: "string",
    DriverOpts: labels,
    GwPriority: "number",
    NetworkID: "string",
    EndpointID: "string",
    Gateway: "string",
    IPAddress: "string",
    IPPrefixLen: "number",
    IPv6Gateway: "string",
    GlobalIPv6Address: "string",
    GlobalIPv6PrefixLen: "number",
    DNSNames: strings,
  },
};

export const createShape: Shape = {
  fields: {
    // Clients of old send settings of the host beside HostConfig (docker-py: Runtime).
    ...hostFields,
    ...configFields,
    HostConfig: hostShape,
    NetworkingConfig: { fields: { EndpointsConfig: { map: endpointShape } } },
  },
};

export const updateShape: Shape = { fields: { ...resourceFields, RestartPolicy: restartPolicy } };
