import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { endPlugins } from "../cni/plugin.ts";
import { removeContainer } from "../container/remove.ts";
import { stopContainer } from "../container/stop.ts";
import type { Context } from "../context.ts";
import type { Sandbox } from "../records.ts";
import { publishEvent } from "./events.ts";
import { mountedNamespaces, removeNamespace } from "./namespaces.ts";
import { filesOf } from "./paths.ts";
import { unmountFiles } from "./user-namespace.ts";

/** Ends all of a pod's processes and gives its network back. What is stopped already is left as it is. */
export async function stopSandbox(context: Context, sandbox: Sandbox): Promise<void> {
  const { record } = sandbox;
  await Promise.all(
    context.records.containersOf(record.id).map((container) => stopContainer(context, container, 0)),
  );
  await context.locks.run(record.id, async () => {
    if (record.released) return;
    await releaseNamespaces(context, sandbox);
    const before = record.state;
    record.state = "notready";
    record.released = true;
    context.records.saveSandbox(sandbox);
    if (before === "ready")
      publishEvent(context, record.id, record.id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  });
}

/** Holder, network, namespaces and shared memory. A network that cannot be given back is an error, to be tried again. */
async function releaseNamespaces(context: Context, { record }: Sandbox): Promise<void> {
  if (record.holder) await context.engine.endHolder(record.id);
  const { user, net, ipc, uts } = record.namespaces;
  if (record.network && net !== undefined) {
    await context.cni.remove(record.network, record.id, mountedNamespaces().has(net) ? net : "");
    delete record.network;
  }
  for (const path of [net, ipc, uts, user]) if (path !== undefined) removeNamespace(path);
  unmountFiles(filesOf(context, record.id));
}

/** All a pod has on this machine, whatever state its making was in. */
export async function releaseSandbox(context: Context, sandbox: Sandbox): Promise<void> {
  const { record } = sandbox;
  try {
    await releaseNamespaces(context, sandbox);
  } finally {
    const files = filesOf(context, record.id);
    unmountFiles(files);
    context.removal.data.discard(files.dir);
    context.removal.runtime.discard(files.runtimeDir);
  }
}

/** Stops a pod and removes it with its containers. */
export async function removeSandbox(context: Context, sandbox: Sandbox): Promise<void> {
  const { record } = sandbox;
  await stopSandbox(context, sandbox);
  for (const container of context.records.containersOf(record.id)) await removeContainer(context, container);
  await context.locks.run(record.id, async () => {
    if (!context.records.sandboxes.find(record.id)) return;
    record.state = "removing";
    context.records.saveSandbox(sandbox);
    await releaseSandbox(context, sandbox);
    publishEvent(context, record.id, record.id, ContainerEventType.CONTAINER_DELETED_EVENT);
    context.records.dropSandbox(record.id);
  });
}

/**
 * Takes a pod that could not be made away. What of it cannot be given back now (a network's plugin that fails) keeps it on
 * record, not ready: kubelet will stop and remove it.
 */
export async function abandonSandbox(context: Context, sandbox: Sandbox): Promise<void> {
  const { record } = sandbox;
  try {
    await releaseSandbox(context, sandbox);
  } catch (error) {
    log.warn("a pod that could not be made stays until it is removed", {
      id: record.id,
      error: messageOf(error),
    });
    record.state = "notready";
    context.records.saveSandbox(sandbox);
    return;
  }
  context.records.dropSandbox(record.id);
}

/** For a start that finds a pod half made. */
export async function discardSandbox(context: Context, sandbox: Sandbox): Promise<void> {
  if (sandbox.record.network) await endPlugins(sandbox.record.id);
  await abandonSandbox(context, sandbox);
}
