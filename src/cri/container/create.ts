import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { NamespaceMode, Signal } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { ContainerConfig } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { alreadyExists, conflict, invalid } from "../../base/errors.ts";
import type { Mount } from "../../oci/runtime-spec.ts";
import { appArmor } from "../../sys/apparmor/machine.ts";
import { injectDevices, requestedNames } from "../cdi/inject.ts";
import { runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import type { CriImage } from "../engine.ts";
import { type Container, type ContainerRecord, nowNanoseconds, type Sandbox } from "../records.ts";
import { publishEvent } from "../sandbox/events.ts";
import { filesOf } from "../sandbox/paths.ts";
import { idMappingsOf, mappedPath, ownWritableLayer } from "../sandbox/user-namespace.ts";
import { apparmorOf } from "../spec/apparmor.ts";
import { containerSpec } from "../spec/container.ts";
import { bind } from "../spec/mounts.ts";
import { cgroupsPathOf } from "../spec/resources.ts";
import { containerLabels } from "../spec/selinux.ts";
import { accountsOf, processUser } from "../spec/user.ts";
import { containerDir } from "./paths.ts";
import { labelPodFiles, volumesOf } from "./volumes.ts";

export const containerKey = (sandboxId: string, { metadata }: ContainerConfig): string =>
  `${sandboxId}_${metadata?.name ?? ""}_${metadata?.attempt ?? 0}`;

/** Makes a container in a pod: its files from the image, its spec. One that is there with the same name is the answer to a repeated request. */
export async function createContainer(
  context: Context,
  sandbox: Sandbox,
  config: ContainerConfig,
  pod: PodSandboxConfig,
): Promise<string> {
  const { records } = context;
  if (sandbox.record.state !== "ready")
    throw conflict(`failed to create container: sandbox ${JSON.stringify(sandbox.record.id)} is not ready`);
  const key = containerKey(sandbox.record.id, config);
  const before = records
    .containersOf(sandbox.record.id)
    .find((container) => containerKey(sandbox.record.id, container.config) === key);
  if (before?.record.state === "created") return before.record.id;
  if (before)
    throw alreadyExists(
      `failed to reserve container name ${JSON.stringify(key)}: name is reserved for ${JSON.stringify(before.record.id)}`,
    );
  const mappings = idMappingsOf(sandbox.config.linux?.securityContext?.namespaceOptions);
  if (!mappings && idMappingsOf(config.linux?.securityContext?.namespaceOptions))
    throw invalid("a container cannot have a user namespace in a pod that has none");
  const devices = requestedNames(config.CDIDevices, config.annotations);
  const image = await context.engine.image(config.image?.image ?? "");
  const id = randomBytes(32).toString("hex");
  const handler = runtimeNamed(context.config, sandbox.record.runtimeHandler);
  if (!handler)
    throw conflict(`no runtime for ${JSON.stringify(sandbox.record.runtimeHandler)} is configured any more`);
  const record: ContainerRecord = {
    id,
    sandboxId: sandbox.record.id,
    state: "making",
    createdAt: nowNanoseconds(),
    startedAt: "0",
    finishedAt: "0",
    exitCode: 0,
    reason: "",
    message: "",
    pid: 0,
    imageId: image.id,
    imageRef: image.digests[0] ?? image.id,
    snapshotter: handler.snapshotter ?? context.config.snapshotter,
    logPath: config.logPath !== "" && pod.logDirectory !== "" ? join(pod.logDirectory, config.logPath) : "",
    stopSignal: stopSignalOf(config, image),
    user: { uid: 0, gid: 0, additionalGids: [0] },
    cgroupsPath: cgroupsPathOf(pod.linux?.cgroupParent ?? "", id, handler.systemdCgroup ?? false),
    views: [],
    monitorDir: "",
    mounts: [],
  };
  const labels = containerLabels(
    records.selinux,
    config.linux?.securityContext,
    sandbox.record.processLabel,
    context.config.crioLabels,
  );
  if (labels.kept.process !== "") record.processLabel = labels.kept.process;
  if (labels.mount !== "") record.mountLabel = labels.mount;
  const container: Container = { record, config, resources: config.linux?.resources, ended: undefined };
  await using undo = new Cleanup();
  records.saveContainer(container);
  undo.add("forget the container", () => records.dropContainer(id));
  undo.add("remove what was made", () => discardContainer(context, container));
  if (record.logPath !== "") mkdirSync(dirname(record.logPath), { recursive: true, mode: 0o755 });
  await context.engine.making(async (making) => {
    const mounts = await making.prepare(record, image);
    if (mappings) ownWritableLayer(mappings, mounts);
    record.user = processUser(
      config.linux?.securityContext,
      image.config.config?.User ?? "",
      accountsOf(image.chainId ?? image.id, mounts),
    );
    const volumes = await volumesOf(context, making, container, image, mounts);
    await labelPodFiles(context, container);
    const plain = containerSpec({
      id,
      sandboxId: sandbox.record.id,
      config,
      pod,
      image: image.config,
      imageName: config.image?.userSpecifiedImage || config.image?.image || "",
      runtime: handler,
      user: record.user,
      hostname: sandbox.record.hostname,
      ...(await namespacesFor(context, sandbox, config)),
      idMappings: mappings,
      podMounts: podMounts(context, sandbox, config),
      volumes,
      cgroupsPath: record.cgroupsPath,
      sysctls: sysctlsOf(context, sandbox),
      unsetSeccompProfile: context.config.unsetSeccompProfile,
      apparmor: await apparmorOf(context.config.apparmor, config.linux?.securityContext, appArmor),
      labels,
      ...(context.config.defaultCapabilities
        ? { defaultCapabilities: context.config.defaultCapabilities }
        : {}),
    });
    const spec = injectDevices(plain, devices, context.config.cdiSpecDirs);
    record.mounts = (spec.mounts ?? []).map(({ destination, source }) => ({
      destination,
      source: source ?? "",
    }));
    await making.create({
      id,
      labels: {
        ...image.config.config?.Labels,
        ...config.labels,
        "io.cri-containerd.kind": "container",
      },
      runtime: handler,
      spec,
      layer: { snapshotter: record.snapshotter, image },
      asked: { config, pod },
    });
  });
  record.state = "created";
  records.saveContainer(container);
  undo.release();
  publishEvent(context, sandbox.record.id, id, ContainerEventType.CONTAINER_CREATED_EVENT);
  return id;
}

function stopSignalOf(config: ContainerConfig, image: CriImage): string {
  if (config.stopSignal !== Signal.RUNTIME_DEFAULT) return Signal[config.stopSignal]!;
  const text = image.config.config?.StopSignal ?? "";
  if (text === "") return "SIGTERM";
  return /^\d+$/.test(text) ? text : text.startsWith("SIG") ? text : `SIG${text}`;
}

/** The pod's namespaces as far as the container takes part in them. */
async function namespacesFor(context: Context, sandbox: Sandbox, config: ContainerConfig) {
  const { namespaces, hostNetwork, holder, id } = sandbox.record;
  const options = config.linux?.securityContext?.namespaceOptions;
  const podsPid = sandbox.config.linux?.securityContext?.namespaceOptions?.pid;
  const asked = options?.pid ?? NamespaceMode.POD;
  // The pod's PID namespace may be the host's.
  const mode =
    asked === NamespaceMode.POD && podsPid === NamespaceMode.NODE && !holder ? NamespaceMode.NODE : asked;
  const joined: { user?: string; net?: string; ipc?: string; uts?: string; pid?: string } = { ...namespaces };
  if (mode === NamespaceMode.POD) {
    if (!holder) throw invalid("the pod has no PID namespace of its own to share");
    joined.pid = `/proc/${await context.engine.holderPid(id)}/ns/pid`;
  }
  if (mode === NamespaceMode.TARGET) {
    const target = context.records.containers.get(options!.targetId);
    if (target.record.sandboxId !== id)
      throw invalid(`container ${JSON.stringify(target.record.id)} (target) is not in the same pod`);
    if (target.record.state !== "running")
      throw conflict(`container ${JSON.stringify(target.record.id)} (target) is not running`);
    joined.pid = `/proc/${target.record.pid}/ns/pid`;
  }
  return { namespaces: joined, hostPid: mode === NamespaceMode.NODE, hostNetwork };
}

/** What the pod's containers share as files. */
function podMounts(context: Context, sandbox: Sandbox, config: ContainerConfig): Mount[] {
  const { id, namespaces } = sandbox.record;
  const own = filesOf(context, id);
  const seen = (path: string) =>
    namespaces.user === undefined ? path : mappedPath(context, id, namespaces.user, path);
  const dir = seen(own.dir);
  const files = Object.fromEntries(
    (["hostname", "hosts", "resolvConf"] as const).map((name) => [name, join(dir, basename(own[name]))]),
  ) as Record<"hostname" | "hosts" | "resolvConf", string>;
  const writable = !(config.linux?.securityContext?.readonlyRootfs ?? false);
  return [
    bind(files.hostname, "/etc/hostname", writable),
    bind(files.hosts, "/etc/hosts", writable),
    bind(files.resolvConf, "/etc/resolv.conf", writable),
    bind(namespaces.ipc === undefined ? "/dev/shm" : seen(own.shm), "/dev/shm", true),
  ];
}

/** Set by each container at its start, in the pod's namespaces; it is the same each time. */
function sysctlsOf({ config }: Context, sandbox: Sandbox): Record<string, string> {
  const asked = Object.entries(sandbox.config.linux?.sysctls ?? {}).map(([name, value]) => [
    name.replaceAll("/", "."),
    value,
  ]);
  const own: Record<string, string> = {};
  if (sandbox.record.namespaces.net !== undefined) {
    if (config.enableUnprivilegedPorts) own["net.ipv4.ip_unprivileged_port_start"] = "0";
    // Groups that a user namespace does not have are not taken.
    const groups = idMappingsOf(sandbox.config.linux?.securityContext?.namespaceOptions)?.gids.find(
      ({ containerID }) => containerID === 0,
    );
    if (config.enableUnprivilegedIcmp)
      own["net.ipv4.ping_group_range"] = `0 ${groups ? groups.size - 1 : 2 ** 31 - 1}`;
  }
  return { ...own, ...Object.fromEntries(asked) };
}

/** Everything a container has besides its record and its task. */
export async function discardContainer(context: Context, { record }: Container): Promise<void> {
  await context.engine.discard(record);
  context.removal.data.discard(containerDir(context, record.id).dir);
}
