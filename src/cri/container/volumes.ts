import { closeSync, mkdirSync, openSync, readlinkSync } from "node:fs";
import { join, posix } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Mount as CriMount } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { copyTree } from "../../archive/copy-tree.ts";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import type { Mount } from "../../oci/runtime-spec.ts";
import { MNT_DETACH, mountAll, openMounts, type Mount as SysMount, unmountAll } from "../../sys/mount.ts";
import { O_DIRECTORY, O_PATH } from "../../sys/open.ts";
import { relabel } from "../../sys/relabel.ts";
import { openInRoot } from "../../sys/rootfs/index.ts";
import type { Context } from "../context.ts";
import type { CriImage, Making } from "../engine.ts";
import type { Container } from "../records.ts";
import { filesOf } from "../sandbox/paths.ts";
import { idMappingsOf, linuxMappings, mapLayers, mappedPath } from "../sandbox/user-namespace.ts";
import { bind, volumeMount } from "../spec/mounts.ts";
import { labelledMounts, relabelsVolumes } from "../spec/selinux.ts";
import { containerDir } from "./paths.ts";

const ENOENT = 2;
const ENOTDIR = 20;

/** The pod's volumes and the ones the image declares, as mounts of the spec. `layers` are the container's own files. */
export async function volumesOf(
  context: Context,
  making: Making,
  container: Container,
  image: CriImage,
  layers: readonly SysMount[],
): Promise<Mount[]> {
  const { config, record } = container;
  const mounts: Mount[] = [];
  const sandbox = context.records.sandboxes.get(record.sandboxId);
  const { user } = sandbox.record.namespaces;
  const podSecurity = sandbox.config.linux?.securityContext;
  const mappings = idMappingsOf(podSecurity?.namespaceOptions);
  const relabels = relabelsVolumes(context.config.crioLabels, config.linux?.securityContext, podSecurity);
  for (const mount of config.mounts) {
    if (!mount.containerPath.startsWith("/"))
      throw invalid(`mount path ${JSON.stringify(mount.containerPath)} is not absolute`);
    const uidMappings = linuxMappings(mount.uidMappings);
    const gidMappings = linuxMappings(mount.gidMappings);
    const isMapped = uidMappings.length > 0 || gidMappings.length > 0;
    const source = mount.image?.image ? await imageVolume(context, making, container, mount) : undefined;
    const volume = volumeMount(mount, source);
    // An image's files have their label by their mount.
    if (mount.selinuxRelabel && relabels && source === undefined)
      await labelFiles(volume.source!, record.mountLabel);
    // An image's layers are mapped where they are mounted.
    if (isMapped && source === undefined) {
      if (user === undefined || !isDeepStrictEqual({ uids: uidMappings, gids: gidMappings }, mappings))
        throw invalid(`the id mappings of mount ${JSON.stringify(mount.containerPath)} are not the pod's`);
      volume.source = mappedPath(context, record.sandboxId, user, volume.source!);
    }
    mounts.push(volume);
  }
  if (context.config.ignoreImageDefinedVolumes) return mounts;
  const taken = new Set(mounts.map(({ destination }) => destination));
  for (const [index, volume] of Object.keys(image.config.config?.Volumes ?? {}).entries()) {
    const path = posix.resolve("/", volume);
    if (taken.has(path)) continue;
    taken.add(path);
    const source = join(containerDir(context, record.id).dir, "volumes", String(index));
    mkdirSync(source, { recursive: true, mode: 0o755 });
    await fillVolume(layers, path, source);
    await labelFiles(source, record.mountLabel);
    mounts.push(
      bind(user === undefined ? source : mappedPath(context, sandbox.record.id, user, source), path, true),
    );
  }
  return mounts;
}

async function labelFiles(path: string, label = ""): Promise<void> {
  try {
    await relabel(path, label);
  } catch (error) {
    const what = `relabel ${JSON.stringify(path)} with ${JSON.stringify(label)} failed`;
    throw new CortenError("unknown", `${what}: ${messageOf(error)}`, { cause: error });
  }
}

/** Gives the files that the pod's containers share the container's label: those of a pod have the same level, unless asked for. */
export async function labelPodFiles(context: Context, { record }: Container): Promise<void> {
  const { hostname, hosts, resolvConf } = filesOf(context, record.sandboxId);
  for (const path of [hostname, hosts, resolvConf]) await labelFiles(path, record.mountLabel);
}

/** Gives a volume that the image declares what the image has in its place: files, owner, mode. */
async function fillVolume(layers: readonly SysMount[], path: string, to: string): Promise<void> {
  const root = openMounts(layers);
  try {
    const fd = openInRoot(root, path, O_PATH | O_DIRECTORY);
    if (fd === -ENOENT || fd === -ENOTDIR) return;
    if (fd < 0)
      throw new CortenError("unknown", `cannot open ${JSON.stringify(path)} of the image: errno ${-fd}`);
    try {
      // With the dot it is the directory itself whose attributes are copied.
      await copyTree(`/proc/self/fd/${fd}/.`, to);
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(root);
  }
}

/** An image as a volume: a read-only view of its files, mounted for this container. */
async function imageVolume(
  context: Context,
  making: Making,
  { record }: Container,
  mount: CriMount,
): Promise<string> {
  if (!mount.readonly) throw invalid("an image volume must be mounted read-only");
  const image = await context.engine.image(mount.image!.image);
  const key = `${record.id}-volume-${record.views.length}`;
  const mounts = await making.view(record, key, image);
  record.views.push(key);
  const root = join(containerDir(context, record.id).runtimeDir, "volumes", String(record.views.length));
  mkdirSync(root, { recursive: true, mode: 0o700 });
  mountAll(labelledMounts(mapLayers(context, record.sandboxId, mounts), record.mountLabel), root);
  if (mount.imageSubPath === "") return root;
  const rootFd = openSync(root, "r");
  try {
    const fd = openInRoot(rootFd, mount.imageSubPath, O_PATH);
    if (fd < 0) throw invalid(`image volume has no ${JSON.stringify(mount.imageSubPath)}`);
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(rootFd);
  }
}

/** Unmounts the image volumes of a container and removes its runtime directory. */
export function releaseVolumes(context: Context, { record }: Container): void {
  const { runtimeDir } = containerDir(context, record.id);
  for (let number = record.views.length; number > 0; number--)
    unmountAll(join(runtimeDir, "volumes", String(number)), MNT_DETACH);
  context.removal.runtime.discard(runtimeDir);
}
