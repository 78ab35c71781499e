import { ContainerState } from "../../proto/gen/runtime/v1/container_pb.ts";
import { PodSandboxState } from "../../proto/gen/runtime/v1/sandbox_pb.ts";
import { isCode, notFound } from "../base/errors.ts";
import type { Backend, ImageCalls } from "../cri/service/backend.ts";
import { metricDescriptors, podMetrics } from "../cri/stats/metrics.ts";
import { createContainer } from "./container/create.ts";
import { execSync, requireRunning } from "./container/exec.ts";
import { removeContainer } from "./container/remove.ts";
import { resourcesOf } from "./container/resources.ts";
import { startContainer } from "./container/start.ts";
import { containerInfo, containerStatus, listContainers } from "./container/status.ts";
import type { Context } from "./context.ts";
import { containersOf, findContainer, findSandbox, getContainer, getSandbox } from "./find.ts";
import { runSandbox } from "./sandbox/run.ts";
import { checkpointStatus, listSandboxes, sandboxInfo, sandboxStatus } from "./sandbox/status.ts";
import { removeSandbox, sandboxId, stopSandbox } from "./sandbox/stop.ts";
import { containerStats, podStats } from "./stats.ts";
import { runtimeConfig, statusOf } from "./status.ts";
import { now } from "./times.ts";

type RuntimeBackend = Omit<
  Backend,
  "streaming" | "checkContainer" | "checkSandbox" | "events" | "close" | keyof ImageCalls
>;

/** RuntimeService on the Engine API, but for what the shell does. */
export function runtimeCalls(context: Context): RuntimeBackend {
  const { client } = context;
  return {
    async version() {
      const { Version } = await client.system.version();
      return { version: "0.1.0", runtimeName: "docker", runtimeVersion: Version, runtimeApiVersion: "v1" };
    },
    status: ({ verbose }) => statusOf(context, verbose),
    runtimeConfig: () => runtimeConfig(context),
    async updateRuntimeConfig({ runtimeConfig: config }) {
      const cidr = config?.networkConfig?.podCidr ?? "";
      // The first word counts: pods have been given addresses by it.
      if (cidr !== "" && context.podCidr === "") context.podCidr = cidr;
      return {};
    },

    async runPodSandbox({ config, runtimeHandler }) {
      return { podSandboxId: await runSandbox(context, config!, runtimeHandler) };
    },
    async stopPodSandbox({ podSandboxId }) {
      const id = await sandboxId(context, podSandboxId);
      if (id !== undefined) await stopSandbox(context, id);
      return {};
    },
    async removePodSandbox({ podSandboxId }) {
      const id = await sandboxId(context, podSandboxId);
      if (id !== undefined) await removeSandbox(context, id);
      return {};
    },
    async podSandboxStatus({ podSandboxId, verbose }) {
      const sandbox = await findSandbox(context, podSandboxId);
      if (!sandbox) {
        const gone = context.checkpoints.find(podSandboxId);
        if (!gone) throw notFound(`No such sandbox: ${podSandboxId}`);
        return { status: checkpointStatus(...gone), timestamp: now() };
      }
      const containers = await Promise.all(
        (await containersOf(context, sandbox.Id)).map(async ({ Id }) => {
          const container = await findContainer(context, Id);
          return container && containerStatus(context, container);
        }),
      );
      return {
        status: await sandboxStatus(context, sandbox),
        ...(verbose ? { info: sandboxInfo(context, sandbox) } : {}),
        containersStatuses: containers.filter((container) => container !== undefined),
        timestamp: now(),
      };
    },
    listPodSandbox: async ({ filter }) => ({ items: await listSandboxes(context, filter) }),

    async createContainer({ podSandboxId, config, sandboxConfig }) {
      return { containerId: await createContainer(context, podSandboxId, config!, sandboxConfig!) };
    },
    async startContainer({ containerId }) {
      await startContainer(context, containerId);
      return {};
    },
    async stopContainer({ containerId, timeout }) {
      const container = await findContainer(context, containerId);
      if (!container?.State.Running) return {};
      await client.containers.stop(container.Id, { timeout: Number(timeout) }).catch((error) => {
        if (!isCode(error, "not_found")) throw error;
      });
      return {};
    },
    async removeContainer({ containerId }) {
      await removeContainer(context, containerId);
      return {};
    },
    listContainers: async ({ filter }) => ({ containers: await listContainers(context, filter) }),
    async containerStatus({ containerId, verbose }) {
      const container = await getContainer(context, containerId);
      return {
        status: await containerStatus(context, container),
        ...(verbose ? { info: containerInfo(container) } : {}),
      };
    },
    async updateContainerResources({ containerId, linux }) {
      const { Id } = await getContainer(context, containerId);
      if (linux) await client.containers.update(Id, resourcesOf(linux));
      return {};
    },
    async reopenContainerLog({ containerId }) {
      const container = await getContainer(context, containerId);
      requireRunning(container);
      await context.logs.reopen(container);
      return {};
    },
    execSync: ({ containerId, cmd, timeout }, signal) =>
      execSync(context, containerId, cmd, Number(timeout), signal),

    containerStats: async ({ containerId }) => ({
      stats: await containerStats(context, await getContainer(context, containerId)),
    }),
    async listContainerStats({ filter }) {
      const containers = await listContainers(context, {
        $typeName: "runtime.v1.ContainerFilter",
        id: filter?.id ?? "",
        podSandboxId: filter?.podSandboxId ?? "",
        labelSelector: filter?.labelSelector ?? {},
        state: { $typeName: "runtime.v1.ContainerStateValue", state: ContainerState.CONTAINER_RUNNING },
      });
      const stats = containers.map(async ({ id }) => {
        const container = await findContainer(context, id);
        return container && containerStats(context, container);
      });
      return { stats: (await Promise.all(stats)).filter((one) => one !== undefined) };
    },
    podSandboxStats: async ({ podSandboxId }) => ({
      stats: await podStats(context, await getSandbox(context, podSandboxId)),
    }),
    async listPodSandboxStats({ filter }) {
      return { stats: await readyPodStats(context, filter?.id ?? "", filter?.labelSelector ?? {}) };
    },
    listMetricDescriptors: async () => ({ descriptors: metricDescriptors }),
    listPodSandboxMetrics: async () => ({
      podMetrics: (await readyPodStats(context, "", {})).map((stats) => podMetrics(stats)),
    }),
    // The pod's cgroup is kubelet's own; the daemon has nothing to change.
    async updatePodSandboxResources({ podSandboxId }) {
      await getSandbox(context, podSandboxId);
      return {};
    },
  };
}

async function readyPodStats(context: Context, id: string, labelSelector: Record<string, string>) {
  const pods = await listSandboxes(context, {
    $typeName: "runtime.v1.PodSandboxFilter",
    id,
    labelSelector,
    state: { $typeName: "runtime.v1.PodSandboxStateValue", state: PodSandboxState.SANDBOX_READY },
  });
  const stats = pods.map(async (pod) => {
    const sandbox = await findSandbox(context, pod.id);
    return sandbox && podStats(context, sandbox);
  });
  return (await Promise.all(stats)).filter((one) => one !== undefined);
}
