/** A container's configuration in two: what its machine's container is like, and what is made inside the machine. */
import { join } from "node:path";
import { invalid, unimplemented } from "../base/errors.ts";
import type { LinuxDevice, LinuxNamespaceType, LinuxResources, Mount, Spec } from "../oci/runtime-spec.ts";
import { defaultSeccomp } from "../oci/seccomp-default.ts";

/** Whom the machine's program runs as: nobody, without any capability. native/host.c has the same. */
export const machineUser = 65534;
const guestRootfs = "/shared/rootfs";
export const guestCgroup = "/sys/fs/cgroup/container";
/** Where the guest's processes have their monitors. */
export const guestRuns = "/run";

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

/** A bind mount of the container: its source is shared into the guest as `/shared/NAME`. */
export interface Share {
  name: string;
  source: string;
  readonly: boolean;
  recursive: boolean;
}

export interface GuestSpec {
  spec: Spec;
  shares: Share[];
}

/** Fails for what a machine cannot give; nothing is left out silently that would loosen or break a container. */
export function checkForMachine(spec: Spec): void {
  const types = new Map((spec.linux?.namespaces ?? []).map((namespace) => [namespace.type, namespace]));
  if (!types.has("network"))
    throw unimplemented("--runtime vm: a machine has a network of its own; it cannot use the host's");
  // A pod's shared one is the machine's own: of the pod there is only the one container.
  const inPod = spec.annotations?.["io.kubernetes.cri.sandbox-id"] !== undefined;
  if (!types.has("pid") || (types.get("pid")?.path && !inPod))
    throw unimplemented(
      "--runtime vm: processes of the host or of another container cannot be seen from a machine",
    );
  // So it is with a pod's IPC and host name.
  for (const type of ["ipc", "uts"] as const)
    if (!types.has(type))
      throw unimplemented(
        `--runtime vm: a machine has a kernel of its own; it cannot use the host's ${type} namespace`,
      );
  for (const type of ["mount", "user", "cgroup"] as const)
    if (types.get(type)?.path)
      throw unimplemented(`--runtime vm: a machine cannot join another container's ${type} namespace`);
  for (const kind of ["createContainer", "startContainer"] as const)
    if (spec.hooks?.[kind]?.length)
      throw unimplemented(`--runtime vm: ${kind} hooks cannot run inside a machine`);
  const missing = devicesOf(spec).find((device) => !isGuests(device));
  if (missing && !hasAllDevices(spec))
    throw unimplemented(`--runtime vm: ${missing.path}: devices of the host cannot be given to a machine`);
  for (const mount of spec.mounts ?? [])
    if (mount.uidMappings?.length || mount.options?.some((option) => /^r?idmap$/.test(option)))
      throw unimplemented(
        `--runtime vm: ${mount.destination}: files shared with a machine cannot be id-mapped`,
      );
}

const devicesOf = (spec: Spec): readonly LinuxDevice[] => spec.linux?.devices ?? [];

/** The guest's kernel has memory devices, terminals and FUSE under the same numbers. */
const isGuests = ({ type, major, minor }: LinuxDevice) =>
  type === "p" || (type === "c" && (major === 1 || major === 5 || (major === 10 && minor === 229)));

/** Privileged: all there are. Those of the host are not the machine's. */
const hasAllDevices = (spec: Spec) =>
  spec.linux?.resources?.devices?.some(({ allow, type, major }) => allow && !type && major === undefined) ??
  false;

const isBind = ({ type, options = [] }: Mount) =>
  type === "bind" || options.includes("bind") || options.includes("rbind");

/** The container as it is made inside. */
export function guestSpec(spec: Spec): GuestSpec {
  const shares: Share[] = [];
  const mounts = (spec.mounts ?? []).map((mount): Mount => {
    if (!isBind(mount)) return mount;
    // Memory shared between processes must be memory of the guest.
    if (mount.destination === "/dev/shm")
      return {
        destination: "/dev/shm",
        type: "tmpfs",
        source: "shm",
        options: ["nosuid", "nodev", "noexec", "mode=1777"],
      };
    if (!mount.source) throw invalid("bind mount without source");
    const options = mount.options ?? [];
    const share = {
      name: `m${shares.length}`,
      source: mount.source,
      readonly: options.includes("ro"),
      recursive: !options.includes("bind"),
    };
    shares.push(share);
    return { ...mount, source: `/shared/${share.name}` };
  });
  const {
    apparmorProfile: _,
    selinuxLabel: __,
    oomScoreAdj: ___,
    ...process
  } = spec.process ?? {
    args: [],
    cwd: "/",
    user: { uid: 0, gid: 0 },
  };
  const { hooks: ____, ...rest } = spec;
  const {
    mountLabel: _____,
    devices: ______,
    resources: _______,
    cgroupsPath: ________,
    ...linux
  } = spec.linux ?? {};
  const devices = devicesOf(spec).filter(isGuests);
  return {
    shares,
    spec: {
      ...rest,
      process,
      root: { path: guestRootfs, readonly: spec.root?.readonly ?? false },
      mounts,
      linux: {
        ...linux,
        ...(devices.length > 0 ? { devices } : {}),
        // The whole guest is the container's network.
        namespaces: [
          ...(linux.namespaces ?? [])
            .filter(({ type }) => type !== "network" && type !== "cgroup")
            .map(({ type }) => ({ type })),
          { type: "cgroup" as LinuxNamespaceType },
        ],
      },
    },
  };
}

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
}

/** Memory (MiB) besides the guest's own: the emulator's translations, the server of files, and what it caches. */
const overhead = 384;

/** The container in which the machine and its helpers run: our own runtime's, as narrow as they can be kept. */
export function outerSpec(input: OuterInput): Spec {
  const { spec, shares, rootfs, directory, boot, devices, memory } = input;
  const bind = (source: string, destination: string, ...options: string[]): Mount => ({
    type: "bind",
    source,
    destination,
    options: ["rprivate", ...options],
  });
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
      args: ["/agent", "host", "/vm/request", "/vm/start.sock", `${guestRuns}/init/result`],
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
    ],
    linux: {
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      namespaces: [
        { type: "pid" },
        { type: "mount" },
        { type: "ipc" },
        { type: "uts" },
        ...(network ? [network] : []),
      ],
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
    },
    ...(spec.hooks ? { hooks: spec.hooks } : {}),
    ...(spec.annotations ? { annotations: spec.annotations } : {}),
  };
}

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
