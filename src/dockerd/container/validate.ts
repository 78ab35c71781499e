import { posix } from "node:path";
import { invalid, notFound } from "../../base/errors.ts";
import type { ContainerConfig, HealthConfig, HostConfig, RestartPolicy } from "../../engine/types.ts";
import type { DaemonConfig } from "../config.ts";
import { checkCgroupParent, type HostFacts } from "../spec/build.ts";
import { normalizeCapability } from "../spec/capabilities.ts";
import { parseDeviceRule } from "../spec/devices.ts";
import { rlimitsOf } from "../spec/resources.ts";
import { parseSecurityOptions } from "../spec/security.ts";
import { parsePort, parsePortRange } from "./ports.ts";
import { parseSignal } from "./signals.ts";

const mega = 1 << 20;
const millisecond = 1_000_000;

/** Checks what needs no look at the machine; brings `config` into its stored form. */
export function validateConfig(config: ContainerConfig): void {
  if (config.WorkingDir !== "") {
    if (!config.WorkingDir.startsWith("/"))
      throw invalid(
        `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`,
      );
    config.WorkingDir = posix.normalize(config.WorkingDir).replace(/(.)\/$/, "$1");
  }
  if (config.StopSignal) parseSignal(config.StopSignal);
  for (const entry of config.Env ?? [])
    if (entry === "" || entry.startsWith("=")) throw invalid(`invalid environment variable: ${entry}`);
  if (config.Healthcheck) validateHealth(config.Healthcheck);
  for (const port of Object.keys(config.ExposedPorts ?? {})) parsePort(port);
}

function validateHealth(health: HealthConfig): void {
  for (const key of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const value = health[key] ?? 0;
    if (value !== 0 && value < millisecond) throw invalid(`${key} in Healthcheck cannot be less than 1ms`);
  }
  if ((health.Retries ?? 0) < 0) throw invalid("Retries in Healthcheck cannot be negative");
}

export function validateRestartPolicy(policy: RestartPolicy): void {
  const { Name, MaximumRetryCount } = policy;
  if (!["", "no", "always", "unless-stopped", "on-failure"].includes(Name))
    throw invalid(
      `invalid restart policy: unknown policy '${Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  if (Name !== "on-failure" && MaximumRetryCount !== 0)
    throw invalid(
      Name === ""
        ? "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        : `invalid restart policy: maximum retry count can only be used with 'on-failure'`,
    );
  if (MaximumRetryCount < 0) throw invalid("invalid restart policy: maximum retry count cannot be negative");
}

/** Checks and completes a HostConfig; returns the warnings Docker gives. */
export function validateHost(
  host: HostConfig,
  daemon: DaemonConfig,
  kernel: Pick<HostFacts, "cgroupVersion" | "blkioWeight">,
): string[] {
  const warnings: string[] = [];
  if (host.AutoRemove && !["", "no"].includes(host.RestartPolicy.Name))
    throw invalid("can't create 'AutoRemove' container with restart policy");
  validateRestartPolicy(host.RestartPolicy);
  for (const entry of host.ExtraHosts ?? []) {
    const [name, ...rest] = entry.split(":");
    if (!name || rest.length === 0) throw invalid(`bad format for add-host: ${JSON.stringify(entry)}`);
    const address = rest.join(":");
    if (address !== "host-gateway" && !/^[\d.]+$|^\[?[0-9a-fA-F:.]+\]?$/.test(address))
      throw invalid(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  }
  for (const [port, bindings] of Object.entries(host.PortBindings ?? {})) {
    parsePort(port);
    for (const { HostPort } of bindings ?? []) if (HostPort) parsePortRange(HostPort);
  }
  for (const name of host.CapAdd ?? []) named("invalid CapAdd", () => normalizeCapability(name));
  for (const name of host.CapDrop ?? []) named("invalid CapDrop", () => normalizeCapability(name));
  for (const rule of host.DeviceCgroupRules ?? []) parseDeviceRule(rule);
  rlimitsOf(host.Ulimits, {});
  validateModes(host);
  checkCgroupParent(daemon.cgroupDriver, host.CgroupParent);
  validateResources(host, warnings, kernel);
  parseSecurityOptions(host.SecurityOpt ?? [], { noNewPrivileges: false });
  for (const name of Object.keys(host.Sysctls ?? {}))
    if (!/^[a-z0-9_]+([./][A-Za-z0-9_-]+)+$/.test(name))
      throw invalid(`invalid sysctl name ${JSON.stringify(name)}`);
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000)
    throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (host.Isolation !== "" && host.Isolation !== "default")
    throw invalid(`invalid isolation '${host.Isolation}' on linux`);
  if (host.ShmSize < 0) throw invalid("SHM size can not be less than 0");
  if (host.Runtime === "") host.Runtime = daemon.defaultRuntime;
  if (!Object.hasOwn(daemon.runtimes, host.Runtime) && !/^io\.containerd\.|^runc$/.test(host.Runtime))
    throw invalid(`unknown or invalid runtime name: ${host.Runtime}`);
  validateLogging(host, daemon);
  if ((host.DeviceRequests ?? []).length > 0)
    throw invalid(
      `could not select device driver ${JSON.stringify(host.DeviceRequests![0]!.Driver ?? "")} with capabilities: ${goList(host.DeviceRequests![0]!.Capabilities ?? [])}`,
    );
  return warnings;
}

const goList = (lists: string[][]) => `[${lists.map((list) => `[${list.join(" ")}]`).join(" ")}]`;

function named<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw invalid(`${what}: ${(error as Error).message}`, error);
  }
}

function validateModes(host: HostConfig): void {
  const ofContainer = (mode: string) => mode.startsWith("container:") && mode.length > "container:".length;
  if (!(["", "host"].includes(host.PidMode) || ofContainer(host.PidMode)))
    throw invalid(`invalid PID mode: ${host.PidMode}`);
  if (!(["", "host", "none", "private", "shareable"].includes(host.IpcMode) || ofContainer(host.IpcMode)))
    throw invalid(`invalid IPC mode: ${host.IpcMode}`);
  if (!["", "host"].includes(host.UTSMode)) throw invalid(`invalid UTS mode: ${host.UTSMode}`);
  if (!["", "host"].includes(host.UsernsMode))
    throw invalid(`invalid user namespace mode: ${host.UsernsMode}`);
  if (!["", "host", "private"].includes(host.CgroupnsMode))
    throw invalid(`invalid cgroup namespace mode: ${host.CgroupnsMode}`);
  if (host.NetworkMode.startsWith("container:") && !ofContainer(host.NetworkMode))
    throw invalid("invalid container format container:<name|id>");
  if (ofContainer(host.NetworkMode)) {
    const conflicting = (what: string, option: string) =>
      invalid(`conflicting options: ${what} and the container type network mode`.replace("%", option));
    if ((host.Dns ?? []).length > 0) throw conflicting("dns", "");
    if ((host.ExtraHosts ?? []).length > 0) throw conflicting("custom host-to-IP mapping", "");
    if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts)
      throw conflicting("port publishing", "");
  }
  if (host.NetworkMode === "host" && (host.Links ?? []).length > 0)
    throw invalid(
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    );
}

function validateResources(
  host: HostConfig,
  warnings: string[],
  { cgroupVersion, blkioWeight }: Pick<HostFacts, "cgroupVersion" | "blkioWeight">,
): void {
  if (host.Memory !== 0 && host.Memory < 6 * mega) throw invalid("Minimum memory limit allowed is 6MB");
  if (host.MemorySwap > 0 && host.Memory === 0)
    throw invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (host.Memory > 0 && host.MemorySwap > 0 && host.MemorySwap < host.Memory)
    throw invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (host.MemorySwappiness !== null && (host.MemorySwappiness < -1 || host.MemorySwappiness > 100))
    throw invalid(`Invalid value: ${host.MemorySwappiness}, valid memory swappiness range is 0-100`);
  if (host.MemoryReservation > 0 && host.MemoryReservation < 6 * mega)
    throw invalid("Minimum memory reservation allowed is 6MB");
  if (host.Memory > 0 && host.MemoryReservation > 0 && host.Memory < host.MemoryReservation)
    throw invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
  if (host.NanoCpus > 0 && host.CpuPeriod > 0)
    throw invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.");
  if (host.NanoCpus > 0 && host.CpuQuota > 0)
    throw invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
  const cpus = navigator.hardwareConcurrency;
  if (host.NanoCpus < 0 || host.NanoCpus > cpus * 1e9)
    throw invalid(`Range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  if (host.CpuPeriod !== 0 && (host.CpuPeriod < 1000 || host.CpuPeriod > 1_000_000))
    throw invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (host.CpuQuota > 0 && host.CpuQuota < 1000)
    throw invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if (host.CpuShares < 0) throw invalid("CPU shares cannot be negative");
  for (const [what, text] of [
    ["cpuset cpus", host.CpusetCpus],
    ["cpuset mems", host.CpusetMems],
  ] as const)
    if (!/^$|^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) throw invalid(`Invalid value ${text} for ${what}`);
  for (const match of host.CpusetCpus.matchAll(/\d+/g))
    if (Number(match[0]) >= cpus)
      throw invalid(
        `Requested CPUs are not available - requested ${host.CpusetCpus}, available: 0-${cpus - 1}`,
      );
  if (host.BlkioWeight !== 0 && (host.BlkioWeight < 10 || host.BlkioWeight > 1000))
    throw invalid("Range of blkio weight is from 10 to 1000");
  if (!blkioWeight && (host.BlkioWeight > 0 || (host.BlkioWeightDevice ?? []).length > 0)) {
    warnings.push(
      "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    );
    host.BlkioWeight = 0;
    host.BlkioWeightDevice = null;
  }
  if (cgroupVersion === 2 && host.OomKillDisable === true) {
    warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
    host.OomKillDisable = null;
  } else if (host.OomKillDisable === true && host.Memory === 0)
    warnings.push(
      "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    );
  if (cgroupVersion === 2 && host.MemorySwappiness !== null && host.MemorySwappiness !== -1) {
    warnings.push(
      "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    );
    host.MemorySwappiness = null;
  }
  // Ways to say "no limit" that are not kept.
  if (host.MemorySwappiness === -1) host.MemorySwappiness = null;
  if (host.PidsLimit !== null && host.PidsLimit <= 0) host.PidsLimit = null;
  // Without a figure of its own, a container may swap as much again as it has memory.
  if (host.Memory > 0 && host.MemorySwap === 0) host.MemorySwap = host.Memory * 2;
}

const jsonFileOptions = new Set(
  "max-size max-file compress labels labels-regex env env-regex tag mode max-buffer-size".split(" "),
);

function validateLogging(host: HostConfig, daemon: DaemonConfig): void {
  const { LogConfig: log } = host;
  if (!log.Type) {
    log.Type = daemon.logDriver;
    log.Config = { ...daemon.logOpts, ...(log.Config ?? {}) };
  }
  log.Config ??= {};
  if (log.Type === "none") return;
  if (log.Type !== "json-file" && log.Type !== "local")
    throw notFound(`logger: no log driver named '${log.Type}' is registered`);
  for (const key of Object.keys(log.Config))
    if (!jsonFileOptions.has(key)) throw invalid(`unknown log opt '${key}' for ${log.Type} log driver`);
  if (log.Config["max-size"] !== undefined) parseSize(log.Config["max-size"]);
  const files = log.Config["max-file"];
  if (files !== undefined && !/^[1-9]\d*$/.test(files)) throw invalid("max-file cannot be less than 1");
}

/** `10m` → bytes. -1 is no limit. */
export function parseSize(text: string): number {
  const match = /^(-?\d+(?:\.\d+)?) ?([kmgtp])?(i?b)?$/i.exec(text.trim());
  if (!match) throw invalid(`invalid size: '${text}'`);
  const factor = match[2] ? 1024 ** ("kmgtp".indexOf(match[2].toLowerCase()) + 1) : 1;
  return Math.floor(Number(match[1]) * factor);
}
