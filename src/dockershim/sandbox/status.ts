import { create } from "@bufbuild/protobuf";
import { NamespaceMode } from "../../../proto/gen/runtime/v1/common_pb.ts";
import {
  type PodSandbox,
  type PodSandboxFilter,
  PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatus,
  PodSandboxStatusSchema,
} from "../../../proto/gen/runtime/v1/sandbox_pb.ts";
import { cniInfo } from "../../cri/cni/info.ts";
import type { ContainerInspect } from "../../engine/types.ts";
import type { Checkpoint } from "../checkpoints.ts";
import type { Context } from "../context.ts";
import { createdAt, listOf, nameOf } from "../find.ts";
import { criLabels, sandboxType } from "../labels.ts";
import { parseName } from "../naming.ts";
import { handlerOf } from "../status.ts";
import { nanoseconds } from "../times.ts";
import { addressesIn } from "./network.ts";

/** A pod is ready when its container runs and it is on its network. */
const stateFor = (running: boolean, checkpoint: Checkpoint | undefined): PodSandboxState =>
  running && (checkpoint?.own?.state ?? "ready") === "ready"
    ? PodSandboxState.SANDBOX_READY
    : PodSandboxState.SANDBOX_NOTREADY;

export const isReady = ({ checkpoints }: Context, sandbox: ContainerInspect): boolean =>
  stateFor(sandbox.State.Running, checkpoints.get(sandbox.Id)) === PodSandboxState.SANDBOX_READY;

const modeOf = (mode: string): NamespaceMode => (mode === "host" ? NamespaceMode.NODE : NamespaceMode.POD);

export async function sandboxStatus(context: Context, sandbox: ContainerInspect): Promise<PodSandboxStatus> {
  const checkpoint = context.checkpoints.get(sandbox.Id);
  const state = stateFor(sandbox.State.Running, checkpoint);
  const ready = state === PodSandboxState.SANDBOX_READY;
  const [ip, ...more] = ready ? addressesIn(context, sandbox, checkpoint) : [];
  const { NetworkMode, PidMode, IpcMode, Runtime } = sandbox.HostConfig;
  return create(PodSandboxStatusSchema, {
    id: sandbox.Id,
    metadata: parseName(sandbox.Name)!.pod,
    state,
    createdAt: nanoseconds(sandbox.Created),
    network: { ip: ip ?? "", additionalIps: more.map((address) => ({ ip: address })) },
    linux: {
      namespaces: {
        options: {
          network: modeOf(NetworkMode),
          // Whether containers share the pod's is each container's own.
          pid: PidMode === "host" ? NamespaceMode.NODE : NamespaceMode.CONTAINER,
          ipc: modeOf(IpcMode),
        },
      },
    },
    ...criLabels(sandbox.Config.Labels),
    runtimeHandler: await handlerOf(context, Runtime),
  });
}

/** A pod whose container is gone: enough for kubelet to stop and remove it. */
export const checkpointStatus = (id: string, checkpoint: Checkpoint): PodSandboxStatus =>
  create(PodSandboxStatusSchema, {
    id,
    metadata: metadataIn(checkpoint),
    state: PodSandboxState.SANDBOX_NOTREADY,
    network: {},
  });

const metadataIn = ({ name, namespace, own }: Checkpoint) => ({
  name,
  namespace,
  uid: own?.uid ?? "",
  attempt: own?.attempt ?? 0,
});

export async function listSandboxes(
  context: Context,
  filter: PodSandboxFilter | undefined,
): Promise<PodSandbox[]> {
  // First, so that a pod that is being made meanwhile is not taken for one that is gone.
  const checkpoints = context.checkpoints.all();
  const summaries = await listOf(context, sandboxType);
  const listed = new Set(summaries.map(({ Id }) => Id));
  const items = await Promise.all(
    summaries.map(async (summary) =>
      create(PodSandboxSchema, {
        id: summary.Id,
        metadata: parseName(nameOf(summary.Names))!.pod,
        state: stateFor(summary.State === "running", context.checkpoints.get(summary.Id)),
        createdAt: await createdAt(context, summary),
        ...criLabels(summary.Labels),
      }),
    ),
  );
  for (const [id, checkpoint] of checkpoints)
    if (!listed.has(id) && context.checkpoints.get(id))
      items.push(
        create(PodSandboxSchema, {
          id,
          metadata: metadataIn(checkpoint),
          state: PodSandboxState.SANDBOX_NOTREADY,
        }),
      );
  return items.filter(
    ({ id, state, labels }) =>
      !filter ||
      (id.startsWith(filter.id) &&
        (!filter.state || filter.state.state === state) &&
        matches(labels, filter.labelSelector)),
  );
}

export const matches = (labels: Record<string, string>, selector: Record<string, string>): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);

/** What `crictl inspectp` shows besides the status. */
export const sandboxInfo = (context: Context, sandbox: ContainerInspect): Record<string, string> => ({
  info: JSON.stringify({
    pid: sandbox.State.Pid,
    processStatus: sandbox.State.Status,
    image: sandbox.Config.Image,
    cniResult: cniInfo(context.checkpoints.get(sandbox.Id)?.own?.network?.result),
    sandboxContainer: { name: sandbox.Name.slice(1), hostConfig: sandbox.HostConfig },
  }),
});
