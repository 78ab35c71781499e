/** A container's configuration in two: what its machine's container is like, and what is made inside the machine. */
import { invalid, unimplemented } from "../base/errors.ts";
import type { LinuxDevice, LinuxNamespace, LinuxNamespaceType, Mount, Spec } from "../oci/runtime-spec.ts";

/** Where the guest's processes have their monitors. */
export const guestRuns = "/run";
/** A pod's memory for sharing, inside. */
export const podMemory = "/run/shm";
/** Where the files of a pod's containers appear, below `/shared`. */
export const podFiles = "members";

/** Where a container is inside of its machine. */
export interface GuestPlace {
  /** Its root (`rootfs`) and bind mounts (`m0` …). */
  files: string;
  cgroup: string;
  /** Name of its first process's monitor. */
  run: string;
}

/** Of a container that has the machine for itself, and of what holds a pod. */
export const ownPlace: GuestPlace = {
  files: "/shared",
  cgroup: "/sys/fs/cgroup/container",
  run: "init",
};

/** Of a container in a pod's machine. */
export const memberPlace = (id: string): GuestPlace => ({
  files: `/shared/${podFiles}/${id}`,
  cgroup: `/sys/fs/cgroup/${id}`,
  run: id,
});

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

/** Whether this is what holds a pod, and the pod that a container is in. */
export const holdsPod = ({ annotations }: Spec): boolean =>
  annotations?.["io.kubernetes.cri.container-type"] === "sandbox";
export const podOf = (spec: Spec): string | undefined =>
  holdsPod(spec) ? undefined : spec.annotations?.["io.kubernetes.cri.sandbox-id"];

/** Fails for what a machine cannot give; nothing is left out silently that would loosen or break a container. */
export function checkForMachine(spec: Spec): void {
  const types = new Map((spec.linux?.namespaces ?? []).map((namespace) => [namespace.type, namespace]));
  if (!types.has("network"))
    throw unimplemented("--runtime vm: a machine has a network of its own; it cannot use the host's");
  // A pod's are shared in its machine.
  const inPod = spec.annotations?.["io.kubernetes.cri.sandbox-id"] !== undefined;
  if (!types.has("pid") || (types.get("pid")?.path && !inPod))
    throw unimplemented(
      "--runtime vm: processes of the host or of another container cannot be seen from a machine",
    );
  for (const type of ["ipc", "uts"] as const)
    if (!types.has(type) || (types.get(type)?.path && !inPod))
      throw unimplemented(
        `--runtime vm: a machine has a kernel of its own; it cannot use the ${type} namespace of the host or of another container`,
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

/** The container as it is made inside; `holder` is the number, inside, of the process whose namespaces a pod's containers share. */
export function guestSpec(spec: Spec, place = ownPlace, holder?: number): GuestSpec {
  const joinsMemory =
    holder !== undefined && spec.linux?.namespaces?.some(({ type, path }) => type === "ipc" && path);
  const shares: Share[] = [];
  const mounts = (spec.mounts ?? []).map((mount): Mount => {
    if (!isBind(mount)) return mount;
    // Memory shared between processes must be memory of the guest.
    if (mount.destination === "/dev/shm" && joinsMemory)
      return { ...mount, source: podMemory, options: ["rbind", "nosuid", "nodev", "noexec"] };
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
    return { ...mount, source: `${place.files}/${share.name}` };
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
      root: { path: `${place.files}/rootfs`, readonly: spec.root?.readonly ?? false },
      mounts,
      linux: {
        ...linux,
        ...(devices.length > 0 ? { devices } : {}),
        // The whole guest is the container's network.
        namespaces: [
          ...(linux.namespaces ?? [])
            .filter(({ type }) => type !== "network" && type !== "cgroup")
            .map(({ type, path }) => inGuest(type, path ? holder : undefined)),
          { type: "cgroup" as LinuxNamespaceType },
        ],
      },
    },
  };
}

const files: Partial<Record<LinuxNamespaceType, string>> = { pid: "pid", ipc: "ipc", uts: "uts" };

/** A pod's namespace as it is called inside, or a new one. */
function inGuest(type: LinuxNamespaceType, holder: number | undefined): LinuxNamespace {
  const name = files[type];
  return holder === undefined || name === undefined ? { type } : { type, path: `/proc/${holder}/ns/${name}` };
}
