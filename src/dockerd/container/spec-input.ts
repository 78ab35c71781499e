import { existsSync } from "node:fs";
import { release } from "node:os";
import { resolveUser } from "../../base/accounts.ts";
import { conflict, invalid } from "../../base/errors.ts";
import type { LinuxSeccomp, Spec, User } from "../../oci/runtime-spec.ts";
import { defaultSeccomp, resolveProfile, type SeccompProfile } from "../../oci/seccomp-default.ts";
import type { Daemon } from "../daemon.ts";
import type { SnapshotMount } from "../host.ts";
import { buildSpec, mergeEnvironment } from "../spec/build.ts";
import { capabilitiesOf } from "../spec/capabilities.ts";
import type { ResolvedMount } from "../spec/mounts.ts";
import { parseSecurityOptions, type SecurityOptions } from "../spec/security.ts";
import { profileOf } from "./apparmor.ts";
import type { ContainerRecord } from "./container.ts";
import { linkEnvironment } from "./links.ts";
import { hostnamePath, hostsPath, resolvConfPath, shmPath } from "./paths.ts";
import { checkPropagation } from "./propagation.ts";

/** No passwd or group file is larger than this. */
export const accountsLimit = 4 << 20;

/** Accounts by the image's top layer: what most containers see on their first start. */
const accountsCache = new Map<string, { passwd: string; group: string }>();

/** The accounts a container knows; looked up in its filesystem, or remembered from its image while that is unchanged. */
export async function readAccounts(
  daemon: Daemon,
  record: ContainerRecord,
  pristine: boolean,
  mounts: readonly SnapshotMount[],
): Promise<{ passwd: string; group: string }> {
  const known = pristine ? accountsCache.get(record.image) : undefined;
  if (known) return known;
  const accounts = await daemon.host.withTree(mounts, (tree) => ({
    passwd: tree.readText("/etc/passwd", accountsLimit) ?? "",
    group: tree.readText("/etc/group", accountsLimit) ?? "",
  }));
  if (pristine) {
    if (accountsCache.size > 256) accountsCache.clear();
    accountsCache.set(record.image, accounts);
  }
  return accounts;
}

export interface SpecContext {
  user: User;
  networkNamespace?: string;
  /** Where a volume's subpath is bound, by its mount's destination. */
  subpaths?: ReadonlyMap<string, string>;
}

/** The spec of a container about to start (or, for `explain`, that could). */
export function specOf(daemon: Daemon, record: ContainerRecord, context: SpecContext): Spec {
  const { host } = record;
  checkPropagation(record.mounts, daemon.config.dataRoot);
  const security = parseSecurityOptions(host.SecurityOpt ?? [], {
    noNewPrivileges: daemon.config.noNewPrivileges,
    ...(daemon.config.seccompProfile === undefined ? {} : { seccompProfile: daemon.config.seccompProfile }),
  });
  const initPath = host.Init ? (daemon.config.initPath ?? daemon.host.initBinary()) : undefined;
  if (host.Init && initPath === undefined)
    throw invalid(
      "no init process for --init: neither docker-init nor tini was found in PATH; install one of them or give --init-path",
    );
  const shared = sharedNamespaces(daemon, record);
  const shm = sharedMemory(daemon, record);
  return buildSpec({
    id: record.id,
    config: withLinks(daemon, record),
    host,
    args: [record.path, ...record.args],
    user: context.user,
    rootfs: "rootfs",
    files: {
      resolvConf: resolvConfPath(daemon, record.id),
      hostname: hostnamePath(daemon, record.id),
      hosts: hostsPath(daemon, record.id),
    },
    ...(context.networkNamespace === undefined ? {} : { networkNamespace: context.networkNamespace }),
    shared,
    ...(shm === undefined ? {} : { shmPath: shm }),
    mounts: resolvedMounts(record, context.subpaths),
    security,
    ...(record.processLabel ? { processLabel: record.processLabel } : {}),
    ...(record.mountLabel ? { mountLabel: record.mountLabel } : {}),
    apparmorProfile: profileOf(daemon, record),
    seccomp: seccompOf(daemon, record, security),
    ...(initPath === undefined ? {} : { initPath }),
    cgroupParent: daemon.config.cgroupParent,
    cgroupDriver: daemon.config.cgroupDriver,
    defaultUlimits: daemon.config.defaultUlimits,
    facts: daemon.facts,
  });
}

/** The configuration with the variables of links, which its own come before. */
export function withLinks(daemon: Daemon, record: ContainerRecord): ContainerRecord["config"] {
  const { config } = record;
  const links = (record.host.Links ?? []).length === 0 ? [] : linkEnvironment(daemon, record);
  return links.length === 0 ? config : { ...config, Env: mergeEnvironment(links, config.Env ?? []) };
}

export const userOf = (record: ContainerRecord, accounts: { passwd: string; group: string }): User =>
  resolveUser(record.config.User, accounts, record.host.GroupAdd ?? []);

function resolvedMounts(
  record: ContainerRecord,
  subpaths: ReadonlyMap<string, string> | undefined,
): ResolvedMount[] {
  const out: ResolvedMount[] = record.mounts.map((mount) => ({
    type: mount.type === "tmpfs" ? "tmpfs" : "bind",
    // Without a bind of its own (for `explain`) the name is only shown.
    source:
      mount.subpath === undefined
        ? mount.source
        : (subpaths?.get(mount.destination) ?? `${mount.source}/${mount.subpath}`),
    destination: mount.destination,
    writable: mount.writable,
    recursive: mount.recursive,
    propagation: mount.propagation,
    ...(mount.recursiveReadOnly ? { recursiveReadOnly: true } : {}),
    ...(mount.data === undefined ? {} : { data: mount.data }),
  }));
  for (const [destination, data] of Object.entries(record.host.Tmpfs ?? {}))
    out.push({
      type: "tmpfs",
      source: "",
      destination,
      writable: true,
      recursive: false,
      propagation: "",
      data,
    });
  return out;
}

/** The process whose namespaces another container joins; it must be running. */
function sharedNamespaces(daemon: Daemon, record: ContainerRecord): { pid?: string; ipc?: string } {
  const out: { pid?: string; ipc?: string } = {};
  for (const [kind, mode] of [
    ["pid", record.host.PidMode],
    ["ipc", record.host.IpcMode],
  ] as const) {
    if (!mode.startsWith("container:")) continue;
    const other = runningContainer(daemon, mode, kind);
    if (kind === "ipc" && !["shareable", "host"].includes(other.record.host.IpcMode))
      throw conflict(
        `non-shareable IPC of the container ${other.id} cannot be used (hint: use IpcMode:shareable for the donor container)`,
      );
    out[kind] = `/proc/${other.state.pid}/ns/${kind}`;
  }
  return out;
}

export function runningContainer(daemon: Daemon, mode: string, what: string) {
  const other = daemon.containers.get(mode.slice("container:".length));
  if (!other.state.running || other.state.pid === 0)
    throw conflict(`cannot join ${what} namespace of a non running container: ${other.id}`);
  if (other.state.restarting)
    throw conflict(`Container ${other.id} is restarting, wait until the container is running`);
  return other;
}

/** The directory bound at /dev/shm, unless the container has a tmpfs of its own there. */
function sharedMemory(daemon: Daemon, record: ContainerRecord): string | undefined {
  const mode = record.host.IpcMode;
  if (mode === "host") return existsSync("/dev/shm") ? "/dev/shm" : undefined;
  if (mode === "shareable") return shmPath(daemon, record.id);
  if (mode.startsWith("container:"))
    return sharedMemory(daemon, daemon.containers.get(mode.slice(10)).record);
  return undefined;
}

const seccompCache = new Map<string, LinuxSeccomp>();

function seccompOf(
  daemon: Daemon,
  record: ContainerRecord,
  security: SecurityOptions,
): LinuxSeccomp | undefined {
  const { host } = record;
  const capabilities = capabilitiesOf(
    { privileged: host.Privileged, add: host.CapAdd ?? [], drop: host.CapDrop ?? [] },
    daemon.facts.capabilities,
  );
  return seccompFor(security, capabilities, host.Privileged);
}

/** The filter for a process with these capabilities; a privileged one has none unless a profile was named. */
export function seccompFor(
  security: SecurityOptions,
  capabilities: string[],
  privileged: boolean,
): LinuxSeccomp | undefined {
  if (security.seccomp === "unconfined" || (privileged && security.seccomp === "default")) return undefined;
  if (security.seccomp === "default") {
    const key = capabilities.join();
    let profile = seccompCache.get(key);
    if (!profile) {
      profile = defaultSeccomp({ capabilities, kernel: release() });
      seccompCache.set(key, profile);
    }
    return profile;
  }
  let parsed: SeccompProfile;
  try {
    parsed = JSON.parse(security.seccomp.profile) as SeccompProfile;
    return resolveProfile(parsed, { capabilities, kernel: release() });
  } catch (error) {
    throw invalid(`Decoding seccomp profile failed: ${(error as Error).message}`, error);
  }
}
