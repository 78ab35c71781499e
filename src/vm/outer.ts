/** The containers outside of the machine, of our own runtime: its program's, and those of the proxies of a pod's containers. */
import { join } from "node:path";
import type { LinuxNamespace, LinuxResources, LinuxSeccomp, Mount, Spec } from "../oci/runtime-spec.ts";
import { defaultSeccomp } from "../oci/seccomp-default.ts";
import { guestRuns, memberPlace, ownPlace, podFiles, type Share } from "./spec.ts";

/** Whom the machine's program runs as: nobody, without any capability. native/host.c has the same. */
export const machineUser = 65534;

/** What the server of files needs for other users' files; the machine itself gives up everything at its start. */
const capabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_MKNOD",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

export interface OuterInput {
  id: string;
  spec: Spec;
  shares: readonly Share[];
  /** Absolute, on the host. */
  rootfs: string;
  /** The machine's directory on the host. */
  directory: string;
  boot: { kernel: string; initramfs: string; agent: string };
  devices: readonly { path: string; major: number; minor: number }[];
  /** MiB of the machine. */
  memory: number;
  /** Of what holds a pod: the directory on the host below which the files of its containers are mounted. */
  members?: string;
}

/** Memory (MiB) besides the guest's own: the emulator's translations, the server of files, and what it caches. */
const overhead = 384;

const bind = (source: string, destination: string, ...options: string[]): Mount => ({
  type: "bind",
  source,
  destination,
  options: ["rprivate", ...options],
});

/** What differs between the two containers outside. */
interface Shell {
  spec: Spec;
  directory: string;
  args: string[];
  capabilities: string[];
  mounts: Mount[];
  pid: LinuxNamespace;
  devices?: NonNullable<Spec["linux"]>["devices"];
  resources: LinuxResources;
  seccomp: LinuxSeccomp;
}

/** A container of our own runtime around the agent, as narrow as it can be kept, with what the container inside has of its place. */
function shellSpec({
  spec,
  directory,
  args,
  capabilities,
  mounts,
  pid,
  devices,
  resources,
  seccomp,
}: Shell): Spec {
  const network = spec.linux?.namespaces?.find(({ type }) => type === "network");
  const { cgroupsPath } = spec.linux ?? {};
  return {
    ociVersion: spec.ociVersion,
    hostname: "machine",
    root: { path: join(directory, "root"), readonly: true },
    process: {
      terminal: spec.process?.terminal ?? false,
      ...(spec.process?.consoleSize ? { consoleSize: spec.process.consoleSize } : {}),
      user: { uid: 0, gid: 0 },
      args,
      env: [],
      cwd: "/",
      noNewPrivileges: true,
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
        inheritable: [],
        ambient: [],
      },
      ...(spec.process?.oomScoreAdj === undefined ? {} : { oomScoreAdj: spec.process.oomScoreAdj }),
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=64k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
      ...mounts,
    ],
    linux: {
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      namespaces: [pid, { type: "mount" }, { type: "ipc" }, { type: "uts" }, ...(network ? [network] : [])],
      ...(devices ? { devices } : {}),
      resources,
      seccomp,
    },
    ...(spec.hooks ? { hooks: spec.hooks } : {}),
    ...(spec.annotations ? { annotations: spec.annotations } : {}),
  };
}

/** The container in which the machine and its helpers run. */
export function outerSpec(input: OuterInput): Spec {
  const { spec, shares, rootfs, directory, boot, devices, memory, members } = input;
  return shellSpec({
    spec,
    directory,
    args: ["/agent", "host", "/vm/request", "/vm/start.sock", `${guestRuns}/${ownPlace.run}/result`],
    capabilities,
    mounts: [
      {
        destination: "/tmp",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "nodev", "noexec", "size=16m"],
      },
      bind("/usr", "/usr", "rbind", "ro", "nosuid", "nodev"),
      bind(boot.agent, "/agent", "bind", "ro", "nosuid", "nodev"),
      bind(boot.kernel, "/kernel", "bind", "ro", "nosuid", "nodev", "noexec"),
      bind(boot.initramfs, "/initramfs", "bind", "ro", "nosuid", "nodev", "noexec"),
      bind(join(directory, "vm"), "/vm", "bind", "nosuid", "nodev", "noexec"),
      bind(rootfs, "/shared/rootfs", "rbind", "nosuid", "nodev", "noexec"),
      ...shares.map(({ name, source, readonly, recursive }) =>
        bind(
          source,
          `/shared/${name}`,
          recursive ? "rbind" : "bind",
          "nosuid",
          "nodev",
          "noexec",
          ...(readonly ? ["ro"] : []),
        ),
      ),
      // What is mounted below it later on is seen here as well.
      ...(members === undefined
        ? []
        : [
            {
              type: "bind",
              source: members,
              destination: `/shared/${podFiles}`,
              options: ["rslave", "rbind", "ro", "nosuid", "nodev", "noexec"],
            },
          ]),
    ],
    pid: { type: "pid" },
    devices: devices.map(({ path, major, minor }) => ({
      path,
      type: "c",
      major,
      minor,
      fileMode: 0o666,
      uid: 0,
      gid: 0,
    })),
    resources: outerResources(spec.linux?.resources ?? {}, memory, devices),
    seccomp: seccomp(),
  });
}

export interface MemberInput {
  id: string;
  spec: Spec;
  /** Its directory on the host, as OuterInput's. */
  directory: string;
  agent: string;
  /** What holds the pod, outside: its first process, and the socket of its machine. */
  pod: { pid: number; socket: string };
}

/** The container of the proxy that stands for a pod's container: in the PID namespace that ends with the machine, and with no rights. */
export function memberSpec(input: MemberInput): Spec {
  const { id, spec, directory, agent, pod } = input;
  return shellSpec({
    spec,
    directory,
    args: ["/agent", "proxy", "/vm/request", "/vm/start.sock", `${guestRuns}/${memberPlace(id).run}/result`],
    capabilities: [],
    mounts: [
      bind(agent, "/agent", "bind", "ro", "nosuid", "nodev"),
      bind(join(directory, "vm"), "/vm", "bind", "nosuid", "nodev", "noexec"),
      bind(pod.socket, "/vm/agent.sock", "bind", "nosuid", "nodev", "noexec"),
    ],
    pid: { type: "pid", path: `/proc/${pod.pid}/ns/pid` },
    resources: { memory: { limit: proxyMemory * 2 ** 20 }, devices: [{ allow: false, access: "rwm" }] },
    seccomp: defaultSeccomp({ capabilities: [], kernel: "6.1" }),
  });
}

/** MiB for a proxy and those of its execs. */
const proxyMemory = 256;

/** Processors and block devices are limited from outside, memory by the machine's size, tasks inside. */
export function outerResources(
  resources: LinuxResources,
  memory: number,
  devices: OuterInput["devices"],
): LinuxResources {
  const { cpu, blockIO } = resources;
  return {
    ...(cpu ? { cpu } : {}),
    ...(blockIO ? { blockIO } : {}),
    memory: { limit: (memory + overhead) * 2 ** 20 },
    devices: [
      { allow: false, access: "rwm" },
      ...devices.map(({ major, minor }) => ({ allow: true, type: "c", major, minor, access: "rwm" })),
    ],
  };
}

function seccomp() {
  const profile = defaultSeccomp({ capabilities, kernel: "6.1" });
  // The server of files gives each of its threads a working directory of its own.
  return {
    ...profile,
    syscalls: [...(profile.syscalls ?? []), { names: ["unshare"], action: "SCMP_ACT_ALLOW" as const }],
  };
}
