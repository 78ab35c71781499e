import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { Cleanup } from "../../base/cleanup.ts";
import { invalid, isCode } from "../../base/errors.ts";
import { nowNano, span } from "../../base/trace.ts";
import { unpack } from "../../containerd/client/index.ts";
import type { CreateContainerRequest, EndpointSettings, Sent } from "../../engine/types.ts";
import type { Platform } from "../../oci/image-spec.ts";
import type { Daemon } from "../daemon.ts";
import type { SnapshotMount } from "../host.ts";
import type { ImageInfo } from "../images/store.ts";
import { formatNano, now } from "../time.ts";
import { anonymousLabel } from "../volumes/store.ts";
import { Container, type ContainerRecord, type MountRecord, newState } from "./container.ts";
import { completeHost, fullConfig, fullHostConfig, mergeImage } from "./defaults.ts";
import { containerEvent } from "./events.ts";
import { resolveLinks } from "./links.ts";
import { type MountPlan, planMounts } from "./mount-points.ts";
import { endpointSettings } from "./networks.ts";
import { containerDirectory } from "./paths.ts";
import { refuseDaemonRoot } from "./propagation.ts";
import { labelContainer, labelNewVolume, releaseLabel } from "./selinux.ts";
import { validateConfig, validateHost } from "./validate.ts";

export interface CreateOptions {
  name: string;
  request: CreateContainerRequest;
  platform?: Platform;
}

/** Images of other systems are pulled, kept, looked at and pushed; what would run them is not here (docs/adr/0006). */
function refuseOtherSystems(image: ImageInfo): void {
  const { os } = image.content.config;
  if (os && os !== "linux")
    throw invalid(
      `image operating system ${JSON.stringify(os)} cannot be used on this platform: operating system is not supported`,
    );
}

/** Makes a container: checked, recorded, with its writable layer and volumes; nothing runs yet. */
export async function createContainer(
  daemon: Daemon,
  { name, request, platform }: CreateOptions,
): Promise<{ container: Container; warnings: string[] }> {
  const prepared = await prepareRecord(daemon, request, platform);
  const { record, warnings, image } = prepared;
  await using undo = new Cleanup();
  record.name = daemon.containers.reserve(name, record.id);
  undo.add("release name", () => daemon.containers.release(record.name, record.id));
  const container = new Container(record);
  container.pristine = true;
  labelContainer(daemon, record);
  undo.add("release label", () => releaseLabel(daemon, record));
  const directory = containerDirectory(daemon, record.id);
  mkdirSync(directory, { recursive: true, mode: 0o710 });
  undo.add("remove directory", () => rmSync(directory, { recursive: true, force: true }));
  const mounts = await span("dockerd", "prepare snapshot", () => prepareSnapshot(daemon, record.id, image));
  undo.add("remove snapshot", () =>
    daemon.containerd.snapshots.remove({ snapshotter: record.snapshotter, key: record.id }),
  );
  container.rootfs = mounts;
  await makeMounts(daemon, container, prepared.mountPlans, mounts, undo);
  daemon.containers.add(container);
  undo.release();
  containerEvent(daemon, container, "create");
  return { container, warnings };
}

/** Everything about a new container that can be decided without changing anything: also what `explain` shows. */
export async function prepareRecord(
  daemon: Daemon,
  request: CreateContainerRequest,
  platform?: Platform,
): Promise<{ record: ContainerRecord; warnings: string[]; image: ImageInfo; mountPlans: MountPlan[] }> {
  const { HostConfig: sentHost, NetworkingConfig: networking, ...sentConfig } = request;
  const config = fullConfig(sentConfig);
  const host = fullHostConfig(sentHost);
  if (config.Image === "") throw invalid("no command specified");
  validateConfig(config);
  const image = await daemon.images.get(config.Image, platform);
  refuseOtherSystems(image);
  mergeImage(config, image.content.config.config);
  validateConfig(config);
  const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (command.length === 0) throw invalid("no command specified");
  const warnings = validateHost(host, daemon.config, daemon.facts);
  completeHost(host, daemon.config, daemon.facts.cgroupVersion);
  const id = newId();
  const networks = endpointSettings(host, networking?.EndpointsConfig ?? {}, config.MacAddress);
  resolveContainerModes(daemon, host);
  resolveLinks(daemon, host);
  if (config.Hostname === "") config.Hostname = hostnameFor(daemon, host.NetworkMode, host.UTSMode, id);
  if (config.AttachStdout || config.AttachStderr) config.StdinOnce ||= false;
  const created = formatNano(nowNano());
  const record: ContainerRecord = {
    id,
    name: "",
    created,
    path: command[0]!,
    args: command.slice(1),
    config,
    host,
    image: image.id,
    manifest: image.content.manifestDescriptor,
    snapshotter: daemon.config.snapshotter,
    platform: "linux",
    state: newState(),
    mounts: [],
    networks: networks as Record<string, EndpointSettings>,
    sandboxId: "",
    sandboxKey: "",
    restartCount: 0,
    generatedMacs: [],
    manuallyStopped: false,
    startedBefore: false,
  };
  const mountPlans = planMounts(config, host, daemon.containers);
  refuseDaemonRoot(mountPlans, daemon.config.dataRoot);
  return { record, warnings, image, mountPlans };
}

/** 64 hexadecimal digits whose first 12 are not all decimal: a short id must never read as a number. */
export function newId(): string {
  for (;;) {
    const id = randomBytes(32).toString("hex");
    if (/[a-f]/.test(id.slice(0, 12))) return id;
  }
}

/** Container modes keep the full id, so that a later rename does not change their meaning. */
function resolveContainerModes(daemon: Daemon, host: ContainerRecord["host"]): void {
  for (const key of ["NetworkMode", "PidMode", "IpcMode"] as const) {
    const mode = host[key];
    if (!mode.startsWith("container:")) continue;
    const other = daemon.containers.get(mode.slice("container:".length));
    host[key] = `container:${other.id}`;
  }
}

function hostnameFor(daemon: Daemon, networkMode: string, utsMode: string, id: string): string {
  if (networkMode === "host" || utsMode === "host") return hostname();
  if (networkMode.startsWith("container:"))
    return (
      daemon.containers.find(networkMode.slice("container:".length))?.record.config.Hostname ??
      id.slice(0, 12)
    );
  return id.slice(0, 12);
}

async function prepareSnapshot(daemon: Daemon, key: string, image: ImageInfo): Promise<SnapshotMount[]> {
  const parent = image.content.chainIds.at(-1) ?? "";
  const snapshotter = daemon.config.snapshotter;
  // Nothing of containerd's refers to a container that was never started; the label keeps its layer.
  const labels = { "containerd.io/gc.root": now() };
  try {
    return (await daemon.containerd.snapshots.prepare({ snapshotter, key, parent, labels })).mounts;
  } catch (error) {
    if (!isCode(error, "not_found") || parent === "") throw error;
  }
  // The image came by other means and was never unpacked.
  await unpack(daemon.containerd, image.content.manifestDescriptor, { snapshotter });
  return (await daemon.containerd.snapshots.prepare({ snapshotter, key, parent, labels })).mounts;
}

/** Makes the volumes and puts the image's content into those that are new. */
async function makeMounts(
  daemon: Daemon,
  container: Container,
  plans: readonly MountPlan[],
  rootfs: SnapshotMount[],
  undo: Cleanup,
): Promise<void> {
  const toFill: Array<{ destination: string; mountpoint: string }> = [];
  const toLabel: string[] = [];
  for (const plan of plans) {
    const { volume: wanted, ...mount } = plan;
    const record: MountRecord = { ...mount };
    if (plan.type === "volume") {
      const labels = plan.anonymous ? { ...(wanted?.labels ?? {}), [anonymousLabel]: "" } : wanted?.labels;
      const { volume, made } = daemon.volumes.create(
        {
          ...(wanted?.name === undefined ? {} : { name: wanted.name }),
          ...(wanted?.driver === undefined ? {} : { driver: wanted.driver }),
          ...(wanted?.options === undefined ? {} : { options: wanted.options }),
          labels: labels ?? null,
        },
        now(),
      );
      if (made) {
        daemon.events.publish("volume", "create", volume.name, { driver: volume.driver });
        undo.add(`remove volume ${volume.name}`, () => daemon.volumes.remove(volume.name, [], true));
      }
      record.name = volume.name;
      record.driver = volume.driver;
      record.source = volume.mountpoint;
      if (made && plan.anonymous) toLabel.push(volume.mountpoint);
      if (
        !plan.noCopy &&
        plan.subpath === undefined &&
        volume.options === null &&
        daemon.volumes.isEmpty(volume)
      )
        toFill.push({ destination: plan.destination, mountpoint: volume.mountpoint });
    }
    container.record.mounts.push(record);
  }
  if (toFill.length > 0)
    await span("dockerd", "fill volumes", () =>
      daemon.host.withTree(rootfs, async (tree) => {
        for (const { destination, mountpoint } of toFill)
          if (tree.stat(destination)?.isDirectory) await tree.copyOut(destination, mountpoint);
      }),
    );
  if (container.record.mountLabel)
    for (const path of toLabel) await labelNewVolume(daemon, container.record, path);
}

export type { Sent };
