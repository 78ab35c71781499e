import { existsSync, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { type Mount as CriMount, MountPropagation } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import { mountHolding } from "../../base/mountinfo.ts";
import type { Mount } from "../../oci/runtime-spec.ts";

/** What every container has, before its own mounts. */
export function defaultMounts(privileged: boolean): Mount[] {
  const readonly = privileged ? [] : ["ro"];
  const mount = (destination: string, type: string, source: string, options: string[]): Mount => ({
    destination,
    type,
    source,
    options,
  });
  return [
    mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount("/dev/pts", "devpts", "devpts", [
      "nosuid",
      "noexec",
      "newinstance",
      "ptmxmode=0666",
      "mode=0620",
      "gid=5",
    ]),
    mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", ...readonly]),
    mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", ...readonly]),
  ];
}

export const bind = (source: string, destination: string, writable: boolean): Mount => ({
  destination,
  source,
  type: "bind",
  options: ["rbind", "rprivate", writable ? "rw" : "ro"],
});

/** Mount options a pod may add to a bind. */
const extraOptions = new Set([
  "noexec",
  "nosuid",
  "nodev",
  "exec",
  "suid",
  "dev",
  "noatime",
  "nodiratime",
  "relatime",
]);

/** A mount of the pod's volumes; `source` replaces the host's path for an image's. */
export function volumeMount(mount: CriMount, source?: string): Mount {
  const host = source ?? hostPath(mount.hostPath);
  const options = ["rbind"];
  switch (mount.propagation) {
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      requirePropagation(host, "shared");
      options.push("rshared");
      break;
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      requirePropagation(host, "slave");
      options.push("rslave");
      break;
    default:
      options.push("rprivate");
  }
  if (mount.recursiveReadOnly) {
    if (!mount.readonly) throw invalid("recursive_read_only conflicts with readonly=false");
    if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE)
      throw invalid("recursive_read_only is supported only for private propagation");
    options.push("rro");
  } else options.push(mount.readonly ? "ro" : "rw");
  for (const option of mount.mountOptions) {
    if (!extraOptions.has(option)) throw invalid(`unsupported mount option ${JSON.stringify(option)}`);
    options.push(option);
  }
  return { destination: mount.containerPath, source: host, type: "bind", options };
}

/** Where the host's path leads; what is not there is made as a directory, as Kubernetes expects. */
function hostPath(path: string): string {
  if (!existsSync(path)) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 });
    } catch (error) {
      throw new CortenError(
        "unknown",
        `failed to mkdir ${JSON.stringify(path)}: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  return realpathSync(path);
}

/** A bind that is to take part in propagation must be of a mount that does. */
function requirePropagation(path: string, kind: "shared" | "slave"): void {
  const { mountPoint, shared, slave } = mountHolding(path, readFileSync("/proc/self/mountinfo", "utf8"));
  if (shared || (kind === "slave" && slave)) return;
  throw new CortenError(
    "unknown",
    `path ${JSON.stringify(path)} is mounted on ${JSON.stringify(mountPoint)} but it is not a ${kind === "shared" ? "shared" : "shared or slave"} mount`,
  );
}

/** Shallow ones first, so that none hides one below it; otherwise in the order given. */
export const byDepth = (mounts: Mount[]): Mount[] =>
  mounts.toSorted((a, b) => depth(a.destination) - depth(b.destination));

const depth = (path: string) => path.split("/").filter(Boolean).length;
