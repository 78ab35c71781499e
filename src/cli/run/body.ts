/** Puts the flags of `run` and `create` together as the body of `POST /containers/create`. */
import type {
  ContainerConfig,
  CreateContainerRequest,
  HealthConfig,
  HostConfig,
  Resources,
  Sent,
} from "../../engine/types.ts";
import { parseDevices } from "./devices.ts";
import { cut, readKeyValueFile } from "./environment.ts";
import type { ContainerValues } from "./flags.ts";
import { parseTmpfs, parseVolumes } from "./mounts.ts";
import { endpoints, networkMode } from "./network.ts";
import { parsePorts } from "./ports.ts";
import { parseSecurity } from "./security.ts";
import { checkMac, parseRestartPolicy, toMap } from "./values.ts";

export interface BodyInput {
  values: ContainerValues;
  changed: ReadonlySet<string>;
  image: string;
  command: string[];
  /** Proxy variables of the client's configuration, which go before those of the flags. */
  proxyEnv: string[];
}

const orNull = (list: readonly string[]): string[] | null => (list.length > 0 ? [...list] : null);

/** Throws an Error in docker's words when the flags contradict each other. */
export function createBody(input: BodyInput): CreateContainerRequest & {
  HostConfig: Sent<HostConfig>;
} {
  const { values, changed } = input;
  if (values["mac-address"] !== "") checkMac(values["mac-address"]);
  const swappiness = values["memory-swappiness"];
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  const { binds, volumes } = parseVolumes(values.volume);
  const ports = parsePorts(values.publish, values.expose);
  const devices = parseDevices(values.device);
  checkModes(values);
  const restart = parseRestartPolicy(values.restart);
  if (values["log-driver"] === "none" && values["log-opt"].length > 0)
    throw new Error("invalid logging opts for driver none");
  const security = parseSecurity(values["security-opt"]);
  const storage = values["storage-opt"].map((option) => cut(option, "="));
  if (storage.some(([, value]) => value === undefined)) throw new Error("invalid storage option");
  const healthcheck = health(values);
  if (values.rm && restart.Name !== "" && restart.Name !== "no")
    throw new Error("conflicting options: cannot specify both --restart and --rm");

  const env = [
    ...values["env-file"].flatMap((path) => readKeyValueFile(path, (name) => process.env[name])),
    ...lastOfEach([...values.env, ...input.proxyEnv]),
  ];
  const labels = [...values["label-file"].flatMap((path) => readKeyValueFile(path)), ...values.label];
  const attach = attachments(values);
  const config: Sent<ContainerConfig> = {
    Hostname: values.hostname,
    Domainname: values.domainname,
    User: values.user,
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    ...(Object.keys(ports.exposed).length > 0 ? { ExposedPorts: ports.exposed } : {}),
    Tty: values.tty,
    OpenStdin: values.interactive,
    StdinOnce: values.interactive && attach.stdin,
    Env: orNull(env),
    Cmd: orNull(input.command),
    ...(healthcheck ? { Healthcheck: healthcheck } : {}),
    Image: input.image,
    Volumes: volumes,
    WorkingDir: values.workdir,
    // `--entrypoint ""` takes the image's away; not giving it keeps it.
    Entrypoint: values.entrypoint !== "" || changed.has("entrypoint") ? [values.entrypoint] : null,
    OnBuild: null,
    Labels: toMap(labels),
    ...(values["stop-signal"] === "" ? {} : { StopSignal: values["stop-signal"] }),
    ...(changed.has("stop-timeout") ? { StopTimeout: values["stop-timeout"] } : {}),
  };
  const tmpfs = parseTmpfs(values.tmpfs);
  const hostConfig: Sent<HostConfig> = {
    Binds: binds.length > 0 ? binds : null,
    ContainerIDFile: values.cidfile,
    LogConfig: { Type: values["log-driver"], Config: toMap(values["log-opt"]) },
    NetworkMode: networkMode(allNetworks(values)),
    PortBindings: ports.bindings,
    RestartPolicy: restart,
    AutoRemove: values.rm,
    VolumeDriver: values["volume-driver"],
    VolumesFrom: orNull(values["volumes-from"]),
    ConsoleSize: [0, 0],
    ...(Object.keys(values.annotation).length > 0 ? { Annotations: values.annotation } : {}),
    CapAdd: capabilities(values["cap-add"]),
    CapDrop: capabilities(values["cap-drop"]),
    CgroupnsMode: values.cgroupns,
    Dns: values.dns,
    DnsOptions: [...values["dns-option"], ...values["dns-opt"]],
    DnsSearch: values["dns-search"],
    ExtraHosts: orNull(values["add-host"]),
    GroupAdd: orNull(values["group-add"]),
    IpcMode: values.ipc,
    Cgroup: "",
    Links: orNull(values.link),
    OomScoreAdj: values["oom-score-adj"],
    PidMode: values.pid,
    Privileged: values.privileged,
    PublishAllPorts: values["publish-all"],
    ReadonlyRootfs: values["read-only"],
    SecurityOpt: security.options,
    ...(storage.length > 0 ? { StorageOpt: Object.fromEntries(storage) as Record<string, string> } : {}),
    ...(Object.keys(tmpfs).length > 0 ? { Tmpfs: tmpfs } : {}),
    UTSMode: values.uts,
    UsernsMode: values.userns,
    ShmSize: values["shm-size"],
    ...(Object.keys(values.sysctl).length > 0 ? { Sysctls: values.sysctl } : {}),
    ...(values.runtime === "" ? {} : { Runtime: values.runtime }),
    Isolation: values.isolation,
    ...resources(values),
    Devices: devices.devices,
    DeviceRequests:
      [...values.gpus, ...devices.requests].length > 0 ? [...values.gpus, ...devices.requests] : null,
    ...(values.mount.length > 0 ? { Mounts: values.mount } : {}),
    MaskedPaths: security.maskedPaths,
    ReadonlyPaths: security.readonlyPaths,
    ...(changed.has("init") ? { Init: values.init } : {}),
  };
  const networkingConfig = {
    EndpointsConfig: endpoints(allNetworks(values), {
      aliases: [...values["network-alias"], ...values["net-alias"]],
      links: values.link,
      ip: values.ip,
      ip6: values.ip6,
      mac: values["mac-address"],
      linkLocal: values["link-local-ip"],
    }),
  };
  return { ...config, HostConfig: hostConfig, NetworkingConfig: networkingConfig };
}

/** A variable given twice has its last value. */
function lastOfEach(env: readonly string[]): string[] {
  return [...new Map(env.map((pair) => [cut(pair, "=")[0], pair])).values()];
}

const allNetworks = (values: ContainerValues) => [...values.network, ...values.net];

function attachments(values: ContainerValues): { stdin: boolean; stdout: boolean; stderr: boolean } {
  const chosen = new Set(values.attach);
  const none = chosen.size === 0;
  return {
    stdin: chosen.has("stdin") || values.interactive,
    stdout: chosen.has("stdout") || none,
    stderr: chosen.has("stderr") || none,
  };
}

function checkModes(values: ContainerValues): void {
  const shared = /^container:.+$/;
  if (!["", "host"].includes(values.pid) && !shared.test(values.pid))
    throw new Error("--pid: invalid PID mode");
  if (!["", "host"].includes(values.uts)) throw new Error("--uts: invalid UTS mode");
  if (!["", "host"].includes(values.userns)) throw new Error("--userns: invalid USER mode");
  if (!["", "host", "private"].includes(values.cgroupns)) throw new Error("--cgroupns: invalid CGROUP mode");
}

/** Canonical names, each once, in order: `net_admin` is `CAP_NET_ADMIN`. */
function capabilities(names: readonly string[]): string[] | null {
  const canonical = names
    .map((name) => name.toUpperCase())
    .map((name) => (name === "ALL" || name.startsWith("CAP_") ? name : `CAP_${name}`));
  return canonical.length > 0 ? [...new Set(canonical)].sort() : null;
}

function health(values: ContainerValues): HealthConfig | undefined {
  const settings: Array<[string, number]> = [
    ["Interval", values["health-interval"]],
    ["Timeout", values["health-timeout"]],
    ["Retries", values["health-retries"]],
    ["StartPeriod", values["health-start-period"]],
    ["StartInterval", values["health-start-interval"]],
  ];
  const given = values["health-cmd"] !== "" || settings.some(([, value]) => value !== 0);
  if (values["no-healthcheck"]) {
    if (given) throw new Error("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!given) return undefined;
  for (const [name, value] of settings) {
    const flag = name.replace(/(?!^)[A-Z]/g, "-$&").toLowerCase();
    if (value < 0) throw new Error(`--health-${flag} cannot be negative`);
  }
  return {
    ...(values["health-cmd"] === "" ? {} : { Test: ["CMD-SHELL", values["health-cmd"]] }),
    ...Object.fromEntries(settings.filter(([, value]) => value !== 0)),
  };
}

function resources(values: ContainerValues): Sent<Resources> {
  const ulimits = Object.values(values.ulimit).sort((a, b) => (a.Name < b.Name ? -1 : 1));
  return {
    CpuShares: values["cpu-shares"],
    Memory: values.memory,
    NanoCpus: values.cpus,
    CgroupParent: values["cgroup-parent"],
    BlkioWeight: values["blkio-weight"],
    BlkioWeightDevice: values["blkio-weight-device"],
    BlkioDeviceReadBps: values["device-read-bps"],
    BlkioDeviceWriteBps: values["device-write-bps"],
    BlkioDeviceReadIOps: values["device-read-iops"],
    BlkioDeviceWriteIOps: values["device-write-iops"],
    CpuPeriod: values["cpu-period"],
    CpuQuota: values["cpu-quota"],
    CpuRealtimePeriod: values["cpu-rt-period"],
    CpuRealtimeRuntime: values["cpu-rt-runtime"],
    CpusetCpus: values["cpuset-cpus"],
    CpusetMems: values["cpuset-mems"],
    DeviceCgroupRules: orNull(values["device-cgroup-rule"]),
    MemoryReservation: values["memory-reservation"],
    MemorySwap: values["memory-swap"],
    MemorySwappiness: values["memory-swappiness"],
    OomKillDisable: values["oom-kill-disable"],
    PidsLimit: values["pids-limit"],
    Ulimits: ulimits,
    CpuCount: values["cpu-count"],
    CpuPercent: values["cpu-percent"],
    IOMaximumIOps: values["io-maxiops"],
    IOMaximumBandwidth: values["io-maxbandwidth"],
  };
}
