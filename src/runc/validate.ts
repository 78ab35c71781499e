/** What a configuration must satisfy before anything is done for it; runc's rules and texts. */
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { invalid } from "../base/errors.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { errnoText } from "../sys/cgroup/index.ts";
import { rootPropagation } from "./compile/mount-options.ts";
import { Namespaces } from "./compile/namespaces.ts";
import type { Warn } from "./types.ts";
import { refuseWindows } from "./windows.ts";

export interface ValidationContext {
  rootfs: string;
  noPivot: boolean;
  unified: boolean;
  /** Only a plan is wanted: a namespace file may still be to be made. */
  planned?: boolean;
  warn: Warn;
}

export function validate(spec: Spec, context: ValidationContext): void {
  refuseWindows(spec);
  const namespaces = new Namespaces(spec);
  checkProcess(spec);
  checkRootfs(context.rootfs);
  checkNamespaces(spec, namespaces, context);
  checkSysctl(spec.linux?.sysctl ?? {}, namespaces, context.planned ?? false);
  if (
    spec.linux?.resources?.unified &&
    !context.unified &&
    Object.keys(spec.linux.resources.unified).length > 0
  )
    throw invalid("invalid configuration: cannot use unified on cgroup v1");
  for (const mount of spec.mounts ?? [])
    if (!mount.destination.startsWith("/"))
      context.warn(`invalid configuration: mount destination ${mount.destination} is not absolute`);
}

function checkProcess(spec: Spec): void {
  const { process } = spec;
  if (!process) return;
  if (!process.cwd) throw invalid("Cwd property must not be empty");
  if (!process.cwd.startsWith("/")) throw invalid("Cwd must be an absolute path");
  if (!process.args?.length) throw invalid("args must not be empty");
}

function checkRootfs(rootfs: string): void {
  let real: string;
  try {
    real = realpathSync(rootfs);
    if (!statSync(real).isDirectory()) throw invalid(`invalid rootfs: ${rootfs} is not a directory`);
  } catch (error) {
    throw invalid(`invalid rootfs: stat ${rootfs}: ${errnoText(error)}`, error);
  }
  if (real !== resolve(rootfs)) throw invalid("invalid rootfs: not an absolute path, or a symlink");
}

function checkNamespaces(spec: Spec, namespaces: Namespaces, { noPivot }: ValidationContext): void {
  const linux = spec.linux ?? {};
  if (spec.hostname && !namespaces.has("uts"))
    throw invalid("unable to set hostname without a private UTS namespace");
  if (spec.domainname && !namespaces.has("uts"))
    throw invalid("unable to set domainname without a private UTS namespace");
  if ((linux.maskedPaths?.length || linux.readonlyPaths?.length) && !namespaces.has("mount"))
    throw invalid("unable to restrict sys entries without a private MNT namespace");
  const mapped = Boolean(linux.uidMappings?.length || linux.gidMappings?.length);
  if (mapped && !namespaces.has("user"))
    throw invalid("User namespace mappings specified, but USER namespace isn't enabled in the config");
  if (namespaces.isNew("user") && !(linux.uidMappings?.length && linux.gidMappings?.length))
    throw invalid("User namespaces enabled, but no uid or gid mappings found.");
  const propagation = rootPropagation(linux.rootfsPropagation ?? "");
  if (propagation === undefined)
    throw invalid(`rootfsPropagation=${linux.rootfsPropagation} is not supported`);
  if (noPivot && /private$/.test(linux.rootfsPropagation ?? ""))
    throw invalid("rootfsPropagation of [r]private is not safe without pivot_root");
  if (linux.timeOffsets && Object.keys(linux.timeOffsets).length > 0 && !namespaces.isNew("time"))
    throw invalid("time namespace offsets specified, but the container has no time namespace of its own");
  const { closID } = linux.intelRdt ?? {};
  if (closID && (closID === "." || closID === ".." || closID.includes("/")))
    throw invalid(`invalid intelRdt.ClosID ${JSON.stringify(closID)}`);
}

/** Sysctls of the ipc namespace besides fs.mqueue.*. */
const ipcSysctls = new Set(
  "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split(" ").map((name) => `kernel.${name}`),
);

/**
 * The name with dots as separators: `net/ipv4/conf/eno2.100` means the interface eno2.100, which the dotted
 * form writes as net.ipv4.conf.eno2/100 (sysctl.d(5)).
 */
export function dottedSysctl(name: string): string {
  const separator = name.search(/[./]/);
  if (separator < 0 || name[separator] === ".") return name;
  return name.replace(/[./]/g, (letter) => (letter === "." ? "/" : "."));
}

/** /proc/sys is namespaced in parts only: anything else would change the host. */
function checkSysctl(sysctl: Record<string, string>, namespaces: Namespaces, planned: boolean): void {
  let ownNetwork: boolean | undefined;
  for (const key of Object.keys(sysctl)) {
    const name = dottedSysctl(key);
    const quoted = JSON.stringify(name);
    // In the dotted form a slash is a dot of a name: two of them would be the parent directory.
    if (name.split("/").includes("")) throw invalid(`sysctl ${quoted} is not in a separate kernel namespace`);
    if (ipcSysctls.has(name) || name.startsWith("fs.mqueue.")) {
      if (!namespaces.has("ipc")) throw invalid(`sysctl ${quoted} is not allowed in the hosts ipc namespace`);
    } else if (name.startsWith("net.")) {
      const path = namespaces.pathOf("network");
      ownNetwork ??= !namespaces.has("network") || (path !== undefined && isOwnNetwork(path, planned));
      if (ownNetwork) throw invalid(`sysctl ${quoted} not allowed in host network namespace`);
    } else if (name === "kernel.hostname" && namespaces.has("uts")) {
      throw invalid(`sysctl ${quoted} is not allowed as it conflicts with the OCI "hostname" field`);
    } else if (!(name === "kernel.domainname" && namespaces.has("uts"))) {
      throw invalid(`sysctl ${quoted} is not in a separate kernel namespace`);
    }
  }
}

function isOwnNetwork(path: string, planned: boolean): boolean {
  try {
    const own = statSync("/proc/self/ns/net");
    const other = statSync(path);
    return own.dev === other.dev && own.ino === other.ino;
  } catch (error) {
    if (planned) return false;
    throw invalid(`invalid netns path: stat ${path}: ${errnoText(error)}`, error);
  }
}
