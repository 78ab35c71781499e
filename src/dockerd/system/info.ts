import { existsSync, readdirSync, readFileSync } from "node:fs";
import { hostname, release } from "node:os";
import type { SystemInfo } from "../../engine/types.ts";
import type { DaemonConfig } from "../config.ts";
import { memoryTotal } from "../containers/stats.ts";
import type { Handler } from "../daemon.ts";
import { product, unameArch } from "../product.ts";
import { now } from "../time.ts";

/** `GET /info`. */
export const info: Handler = async ({ daemon, reply }) => {
  const containers = daemon.containers.all();
  const count = (test: (status: string) => boolean) => containers.filter((one) => test(one.status)).length;
  const { config } = daemon;
  const system = operatingSystem();
  const images = await daemon.images.list();
  const containerd = await daemon.containerdVersion();
  const v2 = daemon.facts.cgroupVersion === 2;
  const answer: SystemInfo = {
    ID: daemon.id,
    Containers: containers.length,
    ContainersRunning: count((status) => status === "running" || status === "restarting"),
    ContainersPaused: count((status) => status === "paused"),
    ContainersStopped: count((status) => ["created", "exited", "dead", "removing"].includes(status)),
    Images: images.length,
    Driver: config.snapshotter,
    DriverStatus: [["driver-type", "io.containerd.snapshotter.v1"]],
    SystemStatus: null,
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "null"],
      Authorization: null,
      Log: ["json-file", "local"],
    },
    MemoryLimit: true,
    SwapLimit: true,
    KernelMemoryTCP: !v2,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    IPv4Forwarding: readOr("/proc/sys/net/ipv4/ip_forward") === "1",
    BridgeNfIptables: readOr("/proc/sys/net/bridge/bridge-nf-call-iptables") === "1",
    BridgeNfIp6tables: readOr("/proc/sys/net/bridge/bridge-nf-call-ip6tables") === "1",
    Debug: config.debug,
    NFd: openFiles(),
    OomKillDisable: !v2,
    NGoroutines: 1,
    SystemTime: now(),
    LoggingDriver: config.logDriver,
    CgroupDriver: config.cgroupDriver,
    CgroupVersion: v2 ? "2" : "1",
    NEventsListener: daemon.events.listeners,
    KernelVersion: release(),
    OperatingSystem: system.name,
    OSVersion: system.version,
    OSType: "linux",
    Architecture: unameArch,
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registries(config),
    NCPU: navigator.hardwareConcurrency,
    MemTotal: memoryTotal(),
    GenericResources: null,
    DockerRootDir: config.dataRoot,
    HttpProxy: process.env["HTTP_PROXY"] ?? "",
    HttpsProxy: process.env["HTTPS_PROXY"] ?? "",
    NoProxy: process.env["NO_PROXY"] ?? "",
    Name: hostname(),
    Labels: config.labels,
    ExperimentalBuild: config.experimental,
    ServerVersion: product.version,
    Runtimes: Object.fromEntries(
      Object.entries(config.runtimes).map(([name, { path, type }]) => [
        name,
        type === undefined ? { path: path ?? "corten" } : { runtimeType: type },
      ]),
    ),
    DefaultRuntime: config.defaultRuntime,
    Swarm: {
      NodeID: "",
      NodeAddr: "",
      LocalNodeState: "inactive",
      ControlAvailable: false,
      Error: "",
      RemoteManagers: null,
    },
    LiveRestoreEnabled: true,
    Isolation: "",
    InitBinary: daemon.host.initBinary()?.split("/").pop() ?? "",
    ContainerdCommit: { ID: containerd.revision },
    RuncCommit: { ID: product.version },
    InitCommit: { ID: "" },
    SecurityOptions: [
      ...(daemon.apparmor.visible ? ["name=apparmor"] : []),
      "name=seccomp,profile=builtin",
      ...(daemon.selinux.enabled ? ["name=selinux"] : []),
      ...(v2 ? ["name=cgroupns"] : []),
    ],
    Warnings: warnings(exposure(daemon.config), await daemon.host.machineWarning()),
  };
  reply.json(200, answer);
};

const warnings = (some: string[] | null, more: string | undefined): string[] | null =>
  more === undefined ? some : [...(some ?? []), more];

/** Docker's words for an API that others than root can reach. */
function exposure({ hosts, tls }: DaemonConfig): string[] | null {
  if (tls?.verify) return null;
  const warnings = hosts
    .filter((host) => host.startsWith("tcp://"))
    .map((host) => {
      const how = tls
        ? `https://${host.slice(6)} without TLS client verification`
        : `http://${host.slice(6)} without encryption`;
      return `[DEPRECATION NOTICE]: API is accessible on ${how}.
         Access to the remote API is equivalent to root access on the host. Refer
         to the 'Docker daemon attack surface' section in the documentation for
         more information: https://docs.docker.com/go/attack-surface/
In future versions this will be a hard failure preventing the daemon from starting! Learn more at: https://docs.docker.com/go/api-security/`;
    });
  return warnings.length > 0 ? warnings : null;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return -1;
  }
}

function operatingSystem(): { name: string; version: string } {
  const path = existsSync("/etc/os-release") ? "/etc/os-release" : "/usr/lib/os-release";
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(readOr(path))?.[1] ?? "";
  return { name: field("PRETTY_NAME") || "Linux", version: field("VERSION_ID") };
}

function registries(config: {
  insecureRegistries: string[];
  registryMirrors: string[];
}): SystemInfo["RegistryConfig"] {
  const cidrs = ["::1/128", "127.0.0.0/8", ...config.insecureRegistries.filter((one) => one.includes("/"))];
  const names = config.insecureRegistries.filter((one) => !one.includes("/"));
  return {
    AllowNondistributableArtifactsCIDRs: null,
    AllowNondistributableArtifactsHostnames: null,
    InsecureRegistryCIDRs: cidrs,
    IndexConfigs: {
      "docker.io": { Name: "docker.io", Mirrors: config.registryMirrors, Secure: true, Official: true },
      ...Object.fromEntries(
        names.map((name) => [name, { Name: name, Mirrors: [], Secure: false, Official: false }]),
      ),
    },
    Mirrors: config.registryMirrors,
  };
}
