import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { MountPropagation, Signal } from "../../../proto/gen/runtime/v1/common_pb.ts";
import {
  type ContainerFilter,
  type Container as ContainerItem,
  ContainerSchema,
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
} from "../../../proto/gen/runtime/v1/container_pb.ts";
import { isCode } from "../../base/errors.ts";
import type { ContainerInspect, ContainerSummary, ContainerStatus as Status } from "../../engine/types.ts";
import type { Context } from "../context.ts";
import { createdAt, listOf, nameOf } from "../find.ts";
import { containerType, criLabels, logPathLabel, sandboxIdLabel } from "../labels.ts";
import { parseName } from "../naming.ts";
import { matches } from "../sandbox/status.ts";
import { nanoseconds } from "../times.ts";
import { criResources } from "./resources.ts";

const states: Record<Status, ContainerState> = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  paused: ContainerState.CONTAINER_RUNNING,
  restarting: ContainerState.CONTAINER_RUNNING,
  removing: ContainerState.CONTAINER_EXITED,
  exited: ContainerState.CONTAINER_EXITED,
  dead: ContainerState.CONTAINER_EXITED,
};

/** The daemon says "created" of what could not be started, too. */
const failedToStart = ({ State }: ContainerInspect): boolean =>
  State.Status === "created" && State.ExitCode !== 0;

export async function containerStatus(
  context: Context,
  container: ContainerInspect,
): Promise<ContainerStatus> {
  const { State, Config, HostConfig } = container;
  const image = await context.client.images.inspect(container.Image).catch((error) => {
    if (!isCode(error, "not_found")) throw error;
  });
  const created = nanoseconds(container.Created);
  const failed = failedToStart(container);
  const state = failed
    ? ContainerState.CONTAINER_EXITED
    : (states[State.Status] ?? ContainerState.CONTAINER_UNKNOWN);
  const exited = state === ContainerState.CONTAINER_EXITED;
  if (exited) await context.logs.settled(container.Id);
  const started = nanoseconds(State.StartedAt);
  const digest = image?.RepoDigests?.[0];
  return create(ContainerStatusSchema, {
    id: container.Id,
    metadata: parseName(container.Name)!.container,
    state,
    createdAt: created,
    startedAt: failed && started === 0n ? created : started,
    finishedAt: exited ? nanoseconds(State.FinishedAt) || created : 0n,
    exitCode: State.ExitCode,
    image: { image: image?.RepoTags?.[0] ?? Config.Image },
    // As Docker's users know it from a pod's status.
    imageRef: digest === undefined ? `docker://${container.Image}` : `docker-pullable://${digest}`,
    imageId: container.Image,
    reason: exited ? reasonOf(container, failed) : "",
    message: State.Error,
    ...criLabels(Config.Labels),
    mounts: container.Mounts.map(({ Source, Destination, RW, Propagation }) => ({
      hostPath: Source,
      containerPath: Destination,
      readonly: !RW,
      propagation: propagations[Propagation] ?? MountPropagation.PROPAGATION_PRIVATE,
    })),
    logPath: Config.Labels?.[logPathLabel] ?? "",
    resources: { linux: criResources(HostConfig) },
    ...userIn(State.Pid),
    stopSignal: signalOf(Config.StopSignal ?? "SIGTERM"),
  });
}

const propagations: Record<string, MountPropagation> = {
  rshared: MountPropagation.PROPAGATION_BIDIRECTIONAL,
  shared: MountPropagation.PROPAGATION_BIDIRECTIONAL,
  rslave: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  slave: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
};

function reasonOf({ State }: ContainerInspect, failed: boolean): string {
  if (failed) return "ContainerCannotRun";
  if (State.OOMKilled) return "OOMKilled";
  return State.ExitCode === 0 ? "Completed" : "Error";
}

/** Who the first process is now: the daemon does not tell who it was at its start. */
function userIn(pid: number) {
  if (pid <= 0) return {};
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    const numbers = (name: string) =>
      (new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "")
        .split(/\s+/)
        .filter((word) => word !== "")
        .map(BigInt);
    const [uid] = numbers("Uid");
    const [gid] = numbers("Gid");
    if (uid === undefined || gid === undefined) return {};
    return { user: { linux: { uid, gid, supplementalGroups: numbers("Groups") } } };
  } catch {
    return {};
  }
}

function signalOf(name: string): Signal {
  const value = Signal[name.replace("+", "PLUS").replace("-", "MINUS") as keyof typeof Signal];
  return typeof value === "number" ? value : Signal.RUNTIME_DEFAULT;
}

/** Containers that match. */
export async function listContainers(
  context: Context,
  filter: ContainerFilter | undefined,
): Promise<ContainerItem[]> {
  const summaries = await listOf(context, containerType);
  const items = await Promise.all(
    summaries
      .filter(
        ({ Id, Labels }) =>
          !filter ||
          (Id.startsWith(filter.id) &&
            (Labels?.[sandboxIdLabel] ?? "").startsWith(filter.podSandboxId) &&
            matches(Labels ?? {}, filter.labelSelector)),
      )
      .map((summary) => containerItem(context, summary)),
  );
  return items.filter(({ state }) => !filter?.state || filter.state.state === state);
}

async function containerItem(context: Context, summary: ContainerSummary): Promise<ContainerItem> {
  return create(ContainerSchema, {
    id: summary.Id,
    podSandboxId: summary.Labels?.[sandboxIdLabel] ?? "",
    metadata: parseName(nameOf(summary.Names))!.container,
    image: { image: summary.Image },
    imageRef: summary.ImageID,
    imageId: summary.ImageID,
    state: await listedState(context, summary),
    createdAt: await createdAt(context, summary),
    ...criLabels(summary.Labels),
  });
}

async function listedState({ client }: Context, { Id, State }: ContainerSummary): Promise<ContainerState> {
  const state = states[State] ?? ContainerState.CONTAINER_UNKNOWN;
  if (state !== ContainerState.CONTAINER_CREATED) return state;
  const inspected = await client.containers.inspect(Id).catch(() => undefined);
  return inspected && failedToStart(inspected) ? ContainerState.CONTAINER_EXITED : state;
}

/** What `crictl inspect` shows besides the status. */
export const containerInfo = (container: ContainerInspect): Record<string, string> => ({
  info: JSON.stringify({
    sandboxID: container.Config.Labels?.[sandboxIdLabel] ?? "",
    pid: container.State.Pid,
    name: container.Name.slice(1),
    dockerLogPath: container.LogPath,
    config: container.Config,
    hostConfig: container.HostConfig,
  }),
});
