import { invalid } from "../../base/errors.ts";
import type { ContainerConfig, HostConfig } from "../../engine/types.ts";
import { devicesBelow } from "../../oci/devices.ts";
import type { LinuxNamespace, LinuxSeccomp, Mount, Process, Spec, User } from "../../oci/runtime-spec.ts";
import type { DaemonConfig } from "../config.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { type DeviceFacts, defaultDeviceRules, mappedDevices, parseDeviceRule } from "./devices.ts";
import { byDepth, defaultMounts, type ResolvedMount, toSpecMount } from "./mounts.ts";
import { resourcesOf, rlimitsOf } from "./resources.ts";
import type { SecurityOptions } from "./security.ts";

/** Everything a spec depends on; nothing is looked up while it is built, except for the host's devices. */
export interface SpecInput {
  id: string;
  config: ContainerConfig;
  host: HostConfig;
  /** Entrypoint and command, merged. */
  args: string[];
  user: User;
  rootfs: string;
  /** Files of the container on the host; absent for a build step, which mounts its own. */
  files?: { resolvConf: string; hostname: string; hosts: string };
  /** Absent in the sandbox of nobody: the host's network. */
  networkNamespace?: string | "private";
  /** Paths of namespaces shared with other containers. */
  shared: { pid?: string; ipc?: string; uts?: string };
  /** Directory bound at /dev/shm for `--ipc container:` and `shareable`. */
  shmPath?: string;
  mounts: ResolvedMount[];
  security: SecurityOptions;
  /** SELinux labels; absent or "" for none. */
  processLabel?: string;
  mountLabel?: string;
  /** AppArmor's, on a machine that has it. */
  apparmorProfile?: string | undefined;
  seccomp: LinuxSeccomp | undefined;
  /** `docker-init` on the host, with `--init`. */
  initPath?: string;
  cgroupParent: string;
  cgroupDriver: DaemonConfig["cgroupDriver"];
  defaultUlimits: Record<string, { soft: number; hard: number }>;
  facts: HostFacts;
}

export interface HostFacts {
  /** Our bounding set. */
  capabilities: ReadonlySet<string>;
  cgroupVersion: 1 | 2;
  /** Whether the kernel takes weights for block devices (v1 has them with BFQ only, lately). */
  blkioWeight: boolean;
  device: DeviceFacts;
}

const initInside = "/sbin/docker-init";
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The OCI spec Docker makes of a container (its `daemon/oci_linux.go` is the reference for order and values). */
export function buildSpec(input: SpecInput): Spec {
  const { host } = input;
  const privileged = host.Privileged;
  const hostname = hostnameOf(input);
  const devices = privileged ? devicesBelow("/dev") : [];
  const deviceRules = privileged ? [{ allow: true, access: "rwm" }] : defaultDeviceRules();
  if (!privileged) {
    for (const mapping of host.Devices ?? []) {
      const mapped = mappedDevices(mapping, input.facts.device);
      devices.push(...mapped.devices);
      deviceRules.push(...mapped.rules);
    }
    deviceRules.push(...(host.DeviceCgroupRules ?? []).map(parseDeviceRule));
  }
  const unmasked = privileged || input.security.unmaskedPaths;
  const sysctl = sysctlOf(input);
  const spec: Spec = {
    ociVersion: "1.0.2",
    process: processOf(input, hostname),
    root: { path: input.rootfs, ...(host.ReadonlyRootfs ? { readonly: true } : {}) },
    ...(hostname === undefined ? {} : { hostname }),
    mounts: mountsOf(input),
    linux: {
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      resources: { devices: deviceRules, ...resourcesOf(host, input.facts.device) },
      cgroupsPath: cgroupsPathOf(input),
      namespaces: namespacesOf(input),
      ...(devices.length > 0 ? { devices } : {}),
      ...(input.mountLabel ? { mountLabel: input.mountLabel } : {}),
      ...(input.seccomp ? { seccomp: input.seccomp } : {}),
      ...(unmasked || host.MaskedPaths === null || host.MaskedPaths.length === 0
        ? {}
        : { maskedPaths: host.MaskedPaths }),
      ...(unmasked || host.ReadonlyPaths === null || host.ReadonlyPaths.length === 0
        ? {}
        : { readonlyPaths: host.ReadonlyPaths }),
      ...rootfsPropagation(input.mounts),
    },
  };
  if (host.Annotations && Object.keys(host.Annotations).length > 0)
    spec.annotations = { ...host.Annotations };
  return spec;
}

/** A directory below the parent, or a scope of systemd in the parent slice. */
function cgroupsPathOf({ id, host, cgroupParent, cgroupDriver }: SpecInput): string {
  const parent = host.CgroupParent || cgroupParent;
  if (cgroupDriver === "systemd") return `${parent || "system.slice"}:docker:${id}`;
  return `${(parent || "/docker").replace(/\/+$/, "")}/${id}`;
}

/** systemd's parents are slices. */
export function checkCgroupParent(driver: DaemonConfig["cgroupDriver"], parent: string): void {
  if (driver === "systemd" && parent !== "" && !/^.+\.slice$/.test(parent))
    throw invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
}

/** Absent with the host's UTS namespace, where setting it would rename the machine. */
function hostnameOf({ config, host }: SpecInput): string | undefined {
  return host.UTSMode === "host" ? undefined : config.Hostname;
}

function processOf(input: SpecInput, hostname: string | undefined): Process {
  const { config, host } = input;
  const capabilities = capabilitiesOf(
    { privileged: host.Privileged, add: host.CapAdd ?? [], drop: host.CapDrop ?? [] },
    input.facts.capabilities,
  );
  const rlimits = rlimitsOf(host.Ulimits, input.defaultUlimits);
  const root = input.user.uid === 0;
  return {
    ...(config.Tty ? { terminal: true } : {}),
    ...(config.Tty && host.ConsoleSize[0] > 0
      ? { consoleSize: { height: host.ConsoleSize[0], width: host.ConsoleSize[1] } }
      : {}),
    user: input.user,
    args: input.initPath === undefined ? input.args : [initInside, "--", ...input.args],
    env: environmentOf(config, hostname ?? config.Hostname),
    cwd: config.WorkingDir || "/",
    capabilities: {
      bounding: capabilities,
      ...(root ? { effective: capabilities, permitted: capabilities } : {}),
    },
    ...(input.security.noNewPrivileges ? { noNewPrivileges: true } : {}),
    ...(input.processLabel ? { selinuxLabel: input.processLabel } : {}),
    ...(input.apparmorProfile ? { apparmorProfile: input.apparmorProfile } : {}),
    ...(rlimits.length > 0 ? { rlimits } : {}),
    oomScoreAdj: host.OomScoreAdj,
  };
}

/** Docker's own variables below the container's; `NAME` without a value takes one away. */
export function environmentOf(config: Pick<ContainerConfig, "Env" | "Tty">, hostname: string): string[] {
  const base = [defaultPath, `HOSTNAME=${hostname}`, ...(config.Tty ? ["TERM=xterm"] : [])];
  return mergeEnvironment(base, config.Env ?? []);
}

/** Replaces by name in place, appends what is new, removes what has no `=`. */
export function mergeEnvironment(base: readonly string[], override: readonly string[]): string[] {
  const out: Array<string | undefined> = [...base];
  const index = new Map(base.map((entry, at) => [entry.split("=")[0]!, at]));
  for (const entry of override) {
    const name = entry.split("=")[0]!;
    const at = index.get(name);
    if (!entry.includes("=")) {
      if (at !== undefined) out[at] = undefined;
      continue;
    }
    if (at !== undefined) out[at] = entry;
    else {
      index.set(name, out.length);
      out.push(entry);
    }
  }
  return out.filter((entry) => entry !== undefined);
}

function namespacesOf({ host, shared, networkNamespace, facts }: SpecInput): LinuxNamespace[] {
  const out: LinuxNamespace[] = [{ type: "mount" }];
  if (networkNamespace === "private") out.push({ type: "network" });
  else if (networkNamespace !== undefined) out.push({ type: "network", path: networkNamespace });
  if (host.UTSMode !== "host") out.push({ type: "uts", ...(shared.uts ? { path: shared.uts } : {}) });
  if (host.PidMode !== "host") out.push({ type: "pid", ...(shared.pid ? { path: shared.pid } : {}) });
  if (host.IpcMode !== "host") out.push({ type: "ipc", ...(shared.ipc ? { path: shared.ipc } : {}) });
  const cgroup = host.CgroupnsMode || (facts.cgroupVersion === 2 && !host.Privileged ? "private" : "host");
  if (cgroup === "private") out.push({ type: "cgroup" });
  return out;
}

function sysctlOf({ config, host, networkNamespace }: SpecInput): Record<string, string> {
  const out: Record<string, string> = {};
  // Ping and low ports need no privilege in a network namespace of one's own. Another container's is as that one wants it.
  if (networkNamespace !== undefined && !host.NetworkMode.startsWith("container:")) {
    out["net.ipv4.ip_unprivileged_port_start"] = "0";
    out["net.ipv4.ping_group_range"] = "0 2147483647";
  }
  if (config.Domainname !== "" && host.UTSMode !== "host") out["kernel.domainname"] = config.Domainname;
  return { ...out, ...(host.Sysctls ?? {}) };
}

function mountsOf(input: SpecInput): Mount[] {
  const { host } = input;
  const user = new Set(input.mounts.map((mount) => mount.destination));
  const { files } = input;
  const network = (
    files
      ? ([
          ["/etc/resolv.conf", files.resolvConf],
          ["/etc/hostname", files.hostname],
          ["/etc/hosts", files.hosts],
        ] as const)
      : []
  )
    .filter(([destination]) => !user.has(destination))
    .map(
      ([destination, source]): ResolvedMount => ({
        type: "bind",
        source,
        destination,
        writable: !host.ReadonlyRootfs,
        recursive: true,
        propagation: "rprivate",
      }),
    );
  const shm: ResolvedMount[] =
    input.shmPath !== undefined && !user.has("/dev/shm")
      ? [
          {
            type: "bind",
            source: input.shmPath,
            destination: "/dev/shm",
            writable: true,
            recursive: true,
            propagation: "rprivate",
          },
        ]
      : [];
  const ownShm = input.shmPath === undefined && host.IpcMode !== "none" && !user.has("/dev/shm");
  const defaults = defaultMounts().filter((mount) => {
    if (mount.destination === "/dev/shm") return ownShm;
    // A volume over /dev takes everything below /dev with it.
    return !user.has(mount.destination) && !(user.has("/dev") && mount.destination.startsWith("/dev/"));
  });
  for (const mount of defaults) {
    if (mount.destination === "/dev/shm") mount.options!.push(`size=${host.ShmSize}`);
    if (host.Privileged && mount.destination.startsWith("/sys"))
      mount.options = mount.options!.filter((option) => option !== "ro");
  }
  const init: Mount[] =
    input.initPath === undefined
      ? []
      : [{ destination: initInside, type: "bind", source: input.initPath, options: ["bind", "ro"] }];
  return [...defaults, ...init, ...byDepth([...input.mounts, ...network, ...shm]).map(toSpecMount)];
}

/** Shared and slave binds need the rootfs itself to take part. */
function rootfsPropagation(mounts: readonly ResolvedMount[]): { rootfsPropagation?: string } {
  const any = (...kinds: string[]) => mounts.some((mount) => kinds.includes(mount.propagation));
  if (any("shared", "rshared")) return { rootfsPropagation: "shared" };
  if (any("slave", "rslave")) return { rootfsPropagation: "rslave" };
  return {};
}
