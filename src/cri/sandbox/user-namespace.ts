/** Pods whose users are others than the node's: the mapping they ask for, and image layers as it shows them. */
import { createHash } from "node:crypto";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  type IDMapping,
  NamespaceMode,
  type NamespaceOption,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import { CortenError, internal, invalid } from "../../base/errors.ts";
import type { LinuxIDMapping } from "../../oci/runtime-spec.ts";
import { rawSyscall, SyscallError, syscall } from "../../sys/libc.ts";
import { MNT_DETACH, type Mount, unmountAll } from "../../sys/mount.ts";
import { AT_FDCWD } from "../../sys/stat.ts";
import type { Context } from "../context.ts";
import type { SandboxRecord } from "../records.ts";
import { filesOf } from "./paths.ts";

export interface IdMappings {
  uids: LinuxIDMapping[];
  gids: LinuxIDMapping[];
}

/** The kernel takes so many lines. */
const mappingLimit = 340;

/** A CRI mapping list as the runtime specification has it. */
export function linuxMappings(mappings: readonly IDMapping[]): LinuxIDMapping[] {
  return mappings.map(({ containerId, hostId, length }) => {
    if (length === 0) throw invalid("an id mapping has no length");
    if (containerId + length > 2 ** 32 || hostId + length > 2 ** 32)
      throw invalid("an id mapping is beyond all ids");
    return { containerID: containerId, hostID: hostId, size: length };
  });
}

/** What a pod's mapping is; undefined where it has the node's users. Refuses what cannot be together with one. */
export function idMappingsOf(options: NamespaceOption | undefined): IdMappings | undefined {
  const asked = options?.usernsOptions;
  if (!asked || asked.mode === NamespaceMode.NODE) return undefined;
  if (asked.mode !== NamespaceMode.POD)
    throw invalid(`user namespace mode ${NamespaceMode[asked.mode]} is not supported`);
  const uids = linuxMappings(asked.uids);
  const gids = linuxMappings(asked.gids);
  for (const [what, list] of [
    ["uids", uids],
    ["gids", gids],
  ] as const) {
    if (list.length === 0) throw invalid(`a user namespace needs ${what} to map`);
    if (list.length > mappingLimit) throw invalid(`a user namespace with ${list.length} mappings of ${what}`);
    hostIdOf(list, 0, what);
  }
  for (const [kind, mode] of [
    ["network", options!.network],
    ["IPC", options!.ipc],
    ["PID", options!.pid],
  ] as const)
    if (mode === NamespaceMode.NODE)
      throw invalid(`a pod with a user namespace of its own cannot use the host's ${kind} namespace`);
  return { uids, gids };
}

/** What an id of the pod is on the node. */
function hostIdOf(mappings: readonly LinuxIDMapping[], id: number, what: string): number {
  const found = mappings.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  if (!found) throw invalid(`the mapping of ${what} has no ${id}`);
  return found.hostID + id - found.containerID;
}

/** The writable layer belongs to the pod's root; what the container makes in it is its users' from the beginning. */
export function ownWritableLayer({ uids, gids }: IdMappings, mounts: readonly Mount[]): void {
  for (const { options } of mounts) {
    const upper = options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
    if (upper !== undefined) chownSync(upper, hostIdOf(uids, 0, "uids"), hostIdOf(gids, 0, "gids"));
  }
}

/**
 * A root filesystem's mounts with the image's layers mapped: one idmapped look at the directory with all layers per pod, and
 * an overlay of what lies in it. The layer written to is not looked at in that way: the kernel makes an overlay's own
 * directories as the node's root, which no mapping has.
 */
export function mapLayers(
  context: Pick<Context, "config" | "records">,
  sandboxId: string,
  mounts: readonly Mount[],
): Mount[] {
  const { record } = context.records.sandboxes.get(sandboxId);
  const { user } = record.namespaces;
  if (user === undefined) return [...mounts];
  return mounts.map((mount) => {
    if (mount.type !== "overlay")
      return { ...mount, source: mappedLayer(context, record, user, mount.source) };
    const options = mount.options.map((option) => {
      if (!option.startsWith("lowerdir=")) return option;
      const layers = option.slice("lowerdir=".length).split(/(?<!\\):/);
      return `lowerdir=${layers.map((layer) => mappedLayer(context, record, user, layer)).join(":")}`;
    });
    return { ...mount, options };
  });
}

function mappedLayer(
  context: Pick<Context, "config">,
  { id }: SandboxRecord,
  user: string,
  layer: string,
): string {
  // `<all layers>/<id>/fs`
  const all = dirname(dirname(layer));
  if (all === "/") throw internal(`unexpected place of a layer: ${layer}`);
  return join(mappedPath(context, id, user, all), layer.slice(all.length));
}

/**
 * Where a directory or file of the node is seen with the pod's users: an id-mapped bind of it, one for all of the pod's
 * containers, which goes with the pod. Mounting it here and not in the container asks nothing of the OCI runtime.
 */
export function mappedPath(
  context: Pick<Context, "config">,
  sandboxId: string,
  user: string,
  source: string,
): string {
  const name = createHash("sha256").update(source).digest("hex").slice(0, 16);
  const target = join(filesOf(context, sandboxId).mapped, name);
  const wanted = statSync(source);
  if (existsSync(target)) {
    const there = statSync(target);
    if (there.ino === wanted.ino && there.dev === wanted.dev) return target;
    // Something else has been mounted at the source since.
    unmountAll(target, MNT_DETACH);
    rmSync(target, { recursive: true });
  }
  mkdirSync(dirname(target), { recursive: true, mode: 0o711 });
  if (wanted.isDirectory()) mkdirSync(target, { mode: 0o711 });
  else writeFileSync(target, "", { mode: 0o600 });
  mountIdMapped(source, target, user);
  return target;
}

const OPEN_TREE_CLONE = 1;
const AT_RECURSIVE = 0x8000;
const O_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_IDMAP = 0x100000n;

/**
 * A bind of `source` at `target` whose owners are mapped by a user namespace (mount_setattr(2), Linux 5.12). What is mounted
 * below comes along as it is: not every file system can be mapped.
 */
function mountIdMapped(source: string, target: string, userNamespace: string): void {
  const user = openSync(userNamespace, "r");
  try {
    const tree = syscall("open_tree", [AT_FDCWD, source, OPEN_TREE_CLONE | AT_RECURSIVE | O_CLOEXEC], source);
    try {
      // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
      const attributes = new BigUint64Array([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(user)]);
      const result = rawSyscall(
        "mount_setattr",
        tree,
        "",
        AT_EMPTY_PATH,
        new Uint8Array(attributes.buffer),
        attributes.byteLength,
      );
      if (result === -22)
        throw new CortenError(
          "failed_precondition",
          `the file system of ${source} cannot be mounted with mapped ids, which a pod with a user namespace needs`,
        );
      if (result < 0) throw new SyscallError("mount_setattr", -result, source);
      syscall("move_mount", [tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH], target);
    } finally {
      closeSync(tree);
    }
  } finally {
    closeSync(user);
  }
}

/** Unmounts what pods' files have mounted on the node. */
export function unmountFiles({ shm, mapped }: { shm: string; mapped: string }): void {
  if (existsSync(mapped)) for (const name of readdirSync(mapped)) unmountAll(join(mapped, name), MNT_DETACH);
  unmountAll(shm, MNT_DETACH);
}
