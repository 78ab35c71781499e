/** The flags `run` and `create` share: everything that becomes part of the container. */
import {
  bool,
  custom,
  duration,
  type FlagTable,
  int,
  list,
  map,
  string,
  type Values,
} from "../flags/flag.ts";
import { parseBytes } from "../format/units.ts";
import { checkCgroupRule } from "./devices.ts";
import { checkEnv } from "./environment.ts";
import { parseMount } from "./mounts.ts";
import { parseNetwork } from "./network.ts";
import * as check from "./values.ts";

const bytes = (short: string, help: string) => custom("bytes", short, help, 0, (_, raw) => parseBytes(raw));
const parsedList = <T>(typeName: string, help: string, parse: (raw: string) => T, shownDefault?: string) =>
  custom<T[]>(typeName, "", help, [], (current, raw) => [...current, parse(raw)], shownDefault);
const hidden = <T extends object>(flag: T): T & { hidden: true } => ({ ...flag, hidden: true });

const networks = parsedList(
  "network",
  "Network to join (repeat for more), or host, none, container:ID",
  parseNetwork,
);
const aliases = list("", "Name of the container on its first network");
const dnsOptions = list("", "Option for the container's resolver");

export const containerFlags = {
  "add-host": list("", "Line of /etc/hosts (host:ip)", check.checkExtraHost),
  annotation: map("", "Annotation for the OCI runtime"),
  attach: list("a", "Connect to stdin, stdout or stderr", check.checkAttach),
  "blkio-weight": int("", "Weight of block input and output, 10 to 1000, 0 for none", {
    typeName: "uint16",
    bits: 16,
    unsigned: true,
  }),
  "blkio-weight-device": parsedList(
    "list",
    "The same for one device (path:weight)",
    check.parseWeightDevice,
    "[]",
  ),
  "cap-add": list("", "Capability to add"),
  "cap-drop": list("", "Capability to take away"),
  "cgroup-parent": string("", "Cgroup to make the container's cgroup in"),
  cgroupns: string("", "Cgroup namespace (host|private)"),
  cidfile: string("", "File to write the container's id to"),
  "cpu-count": hidden(int("", "Number of CPUs (Windows)")),
  "cpu-percent": hidden(int("", "Percentage of the CPUs (Windows)")),
  "cpu-period": int("", "Length of the scheduler's period, in microseconds"),
  "cpu-quota": int("", "CPU time in a period, in microseconds"),
  "cpu-rt-period": int("", "Length of the real-time period, in microseconds"),
  "cpu-rt-runtime": int("", "Real-time CPU time in a period, in microseconds"),
  "cpu-shares": int("c", "Weight of CPU time"),
  cpus: custom("decimal", "", "Number of CPUs", 0, (_, raw) => check.parseCpus(raw)),
  "cpuset-cpus": string("", "CPUs to run on (0-3, 0,1)"),
  "cpuset-mems": string("", "Memory nodes to use (0-3, 0,1)"),
  device: list("", "Device of the host (host[:container][:rwm])"),
  "device-cgroup-rule": list("", "Rule for the devices the cgroup allows", checkCgroupRule),
  "device-read-bps": parsedList(
    "list",
    "Bytes per second to read from a device",
    check.parseBytesPerSecond,
    "[]",
  ),
  "device-read-iops": parsedList(
    "list",
    "Reads per second of a device",
    check.parseOperationsPerSecond,
    "[]",
  ),
  "device-write-bps": parsedList(
    "list",
    "Bytes per second to write to a device",
    check.parseBytesPerSecond,
    "[]",
  ),
  "device-write-iops": parsedList(
    "list",
    "Writes per second to a device",
    check.parseOperationsPerSecond,
    "[]",
  ),
  dns: list("", "DNS server", check.checkIp),
  "dns-opt": hidden(dnsOptions),
  "dns-option": dnsOptions,
  "dns-search": list("", "Domain to search names in", check.checkDnsSearch),
  domainname: string("", "NIS domain name"),
  entrypoint: string("", "Program to run in place of the image's"),
  env: list("e", "Environment variable (NAME=value, or NAME to pass ours on)", checkEnv),
  "env-file": list("", "File of environment variables"),
  expose: list("", "Port or range of ports the container serves"),
  gpus: parsedList("gpu-request", "GPUs to add ('all' for all)", check.parseGpus),
  "group-add": list("", "Additional group"),
  "health-cmd": string("", "Command that checks the health"),
  "health-interval": duration("", "Time between checks (ms|s|m|h)"),
  "health-retries": int("", "Failures in a row that make it unhealthy"),
  "health-start-interval": duration("", "Time between checks while it starts (ms|s|m|h)"),
  "health-start-period": duration("", "Time to start in which failures do not count (ms|s|m|h)"),
  "health-timeout": duration("", "Time a check may take (ms|s|m|h)"),
  hostname: string("h", "Host name"),
  init: bool("", "Run an init that passes signals on and reaps processes"),
  interactive: bool("i", "Keep stdin open"),
  "io-maxbandwidth": hidden(bytes("", "Bandwidth of the system drive (Windows)")),
  "io-maxiops": hidden(
    int("", "Operations per second of the system drive (Windows)", { typeName: "uint", unsigned: true }),
  ),
  ip: string("", "IPv4 address on the first network"),
  ip6: string("", "IPv6 address on the first network"),
  ipc: string("", "IPC namespace (private, shareable, none, host, container:ID)"),
  isolation: hidden(string("", "Isolation (Windows)")),
  "kernel-memory": bytes("", "Limit of kernel memory (obsolete)"),
  label: list("l", "Label (key=value)", check.checkLabel),
  "label-file": list("", "File of labels"),
  link: list("", "Link to another container (name:alias)", check.checkLink),
  "link-local-ip": list("", "Link-local address on the first network"),
  "log-driver": string("", "Where the output is logged"),
  "log-opt": list("", "Option of the log driver"),
  "mac-address": string("", "MAC address on the first network"),
  memory: bytes("m", "Limit of memory"),
  "memory-reservation": bytes("", "Memory kept for the container when it is short"),
  "memory-swap": custom("bytes", "", "Limit of memory and swap together, -1 for none", 0, (_, raw) =>
    raw === "-1" ? -1 : parseBytes(raw),
  ),
  "memory-swappiness": int("", "Tendency to swap, 0 to 100", { initial: -1 }),
  mount: parsedList("mount", "Mount (type=…,source=…,target=…)", parseMount),
  net: hidden(networks),
  "net-alias": hidden(aliases),
  network: networks,
  "network-alias": aliases,
  "no-healthcheck": bool("", "Do not use the image's health check"),
  "oom-kill-disable": bool("", "Do not kill it when memory runs out"),
  "oom-score-adj": int("", "How likely it is to be killed when memory runs out, -1000 to 1000"),
  pid: string("", "PID namespace (host, container:ID)"),
  "pids-limit": int("", "Limit of processes, -1 for none"),
  privileged: bool("", "Give it all rights over this machine"),
  publish: list("p", "Publish a port ([ip:][host:]container[/proto])"),
  "publish-all": bool("P", "Publish all exposed ports to free ports"),
  "read-only": bool("", "Mount the root filesystem read-only"),
  restart: string("", "When to start it again (no, on-failure[:n], always, unless-stopped)", "no"),
  rm: bool("", "Remove it, and its anonymous volumes, when it exits"),
  runtime: string("", "OCI runtime to use"),
  "security-opt": list("", "Security option (seccomp=FILE, apparmor=…, label=…, no-new-privileges, …)"),
  "shm-size": bytes("", "Size of /dev/shm"),
  "stop-signal": string("", "Signal that stops it"),
  "stop-timeout": int("", "Seconds from that signal to SIGKILL"),
  "storage-opt": list("", "Option of the storage driver"),
  sysctl: map("", "Kernel parameter of its namespaces", check.checkSysctl),
  tmpfs: list("", "Mount a tmpfs (path[:options])"),
  tty: bool("t", "Give it a terminal"),
  ulimit: custom<Record<string, ReturnType<typeof check.parseUlimit>>>(
    "ulimit",
    "",
    "Resource limit (name=soft[:hard])",
    {},
    (current, raw) => {
      const limit = check.parseUlimit(raw);
      return { ...current, [limit.Name]: limit };
    },
    "[]",
  ),
  user: string("u", "User to run as (name or uid, with :group or :gid)"),
  userns: string("", "User namespace (host)"),
  uts: string("", "UTS namespace (host)"),
  volume: list("v", "Mount a directory or volume ([source:]target[:options])"),
  "volume-driver": string("", "Driver of volumes that are made"),
  "volumes-from": list("", "Container whose volumes to mount too"),
  workdir: string("w", "Directory to start in"),
} satisfies FlagTable;

export type ContainerValues = Values<typeof containerFlags>;

/** Flags of `run` and `create` that are about the making, not the container. */
export const createFlags = {
  "disable-content-trust": hidden(bool("", "Skip image verification (always)", true)),
  name: string("", "Name of the container"),
  platform: string(
    "",
    "Platform of the image, when it has several",
    process.env["DOCKER_DEFAULT_PLATFORM"] ?? "",
  ),
  pull: string("", 'When to pull the image ("always", "missing", "never")', "missing"),
  quiet: bool("q", "Show no progress of a pull"),
} satisfies FlagTable;

export type CreateValues = Values<typeof createFlags>;
