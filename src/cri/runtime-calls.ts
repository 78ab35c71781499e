import { CgroupDriver } from "../../proto/gen/runtime/v1/status_pb.ts";
import { createContainer } from "./container/create.ts";
import { execSync, requireRunning } from "./container/exec.ts";
import { removeContainer } from "./container/remove.ts";
import { startContainer } from "./container/start.ts";
import { containerInfo, containerItem, containerStatus, listContainers } from "./container/status.ts";
import { stopContainer } from "./container/stop.ts";
import { updateContainer } from "./container/update.ts";
import type { Context } from "./context.ts";
import { nowNanoseconds } from "./records.ts";
import { runSandbox } from "./sandbox/run.ts";
import { listSandboxes, matchesLabels, sandboxInfo, sandboxItem, sandboxStatus } from "./sandbox/status.ts";
import { removeSandbox, stopSandbox } from "./sandbox/stop.ts";
import { updateSandbox } from "./sandbox/update.ts";
import type { Backend } from "./service/backend.ts";
import { metricDescriptors, podMetrics } from "./stats/metrics.ts";
import { StatsReader } from "./stats/read.ts";
import { statusOf } from "./status.ts";

type RuntimeBackend = Omit<
  Backend,
  "streaming" | "checkContainer" | "checkSandbox" | "events" | "close" | keyof ImageCallNames
>;
type ImageCallNames = Pick<
  Backend,
  "listImages" | "imageStatus" | "pullImage" | "removeImage" | "imageFsInfo"
>;

/** RuntimeService, but for what the shell does. */
export function runtimeCalls(context: Context): RuntimeBackend {
  const { records, config } = context;
  const stats = new StatsReader(context);
  return {
    async version() {
      return {
        version: "0.1.0",
        runtimeName: context.engine.name,
        runtimeVersion: context.engine.version,
        runtimeApiVersion: "v1",
      };
    },
    status: async ({ verbose }) => statusOf(context, verbose),
    // Kubelet's pod CIDR: only a configuration template would need it.
    updateRuntimeConfig: async () => ({}),
    async runtimeConfig() {
      const systemd = config.runtimes[config.defaultRuntime]?.systemdCgroup ?? false;
      return { linux: { cgroupDriver: systemd ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS } };
    },

    async runPodSandbox({ config: pod, runtimeHandler }) {
      return { podSandboxId: await runSandbox(context, pod!, runtimeHandler) };
    },
    async stopPodSandbox({ podSandboxId }) {
      const sandbox = records.sandboxes.find(podSandboxId);
      if (sandbox) await stopSandbox(context, sandbox);
      return {};
    },
    async removePodSandbox({ podSandboxId }) {
      const sandbox = records.sandboxes.find(podSandboxId);
      if (sandbox) await removeSandbox(context, sandbox);
      return {};
    },
    async podSandboxStatus({ podSandboxId, verbose }) {
      const sandbox = records.sandboxes.get(podSandboxId);
      return {
        status: sandboxStatus(sandbox),
        ...(verbose ? { info: await sandboxInfo(context, sandbox) } : {}),
        containersStatuses: records.containersOf(sandbox.record.id).map(containerStatus),
        timestamp: BigInt(nowNanoseconds()),
      };
    },
    listPodSandbox: async ({ filter }) => ({ items: listSandboxes(records, filter).map(sandboxItem) }),

    async createContainer({ podSandboxId, config: container, sandboxConfig }) {
      const sandbox = records.sandboxes.get(podSandboxId);
      return { containerId: await createContainer(context, sandbox, container!, sandboxConfig!) };
    },
    async startContainer({ containerId }) {
      await startContainer(context, records.containers.get(containerId));
      return {};
    },
    async stopContainer({ containerId, timeout }, signal) {
      const container = records.containers.find(containerId);
      if (container) await stopContainer(context, container, Number(timeout), signal);
      return {};
    },
    async removeContainer({ containerId }) {
      const container = records.containers.find(containerId);
      if (container) {
        await removeContainer(context, container);
        stats.forget(container.record.id, container.record.cgroupsPath);
      }
      return {};
    },
    listContainers: async ({ filter }) => ({
      containers: listContainers(records, filter).map(containerItem),
    }),
    async containerStatus({ containerId, verbose }) {
      const container = records.containers.get(containerId);
      return {
        status: containerStatus(container),
        ...(verbose ? { info: await containerInfo(context, container) } : {}),
      };
    },
    async updateContainerResources({ containerId, linux }) {
      if (linux) await updateContainer(context, records.containers.get(containerId), linux);
      return {};
    },
    async reopenContainerLog({ containerId }) {
      const container = records.containers.get(containerId);
      requireRunning(container);
      await context.engine.reopenLog(container);
      return {};
    },
    execSync: ({ containerId, cmd, timeout }, signal) =>
      execSync(context, records.containers.get(containerId), cmd, Number(timeout), signal),
    async checkpointContainer({ containerId, location }) {
      const { checkpointContainer } = await import("./container/checkpoint.ts");
      await checkpointContainer(context, records.containers.get(containerId), location);
      return {};
    },

    containerStats: async ({ containerId }) => ({
      stats: await stats.container(records.containers.get(containerId)),
    }),
    async listContainerStats({ filter }) {
      const containers = listContainers(records, undefined).filter(
        ({ record, config: { labels } }) =>
          record.state === "running" &&
          (!filter?.id || record.id.startsWith(filter.id)) &&
          (!filter?.podSandboxId || record.sandboxId.startsWith(filter.podSandboxId)) &&
          matchesLabels(labels, filter?.labelSelector ?? {}),
      );
      return { stats: await Promise.all(containers.map((container) => stats.container(container))) };
    },
    podSandboxStats: async ({ podSandboxId }) => ({
      stats: await stats.pod(records.sandboxes.get(podSandboxId)),
    }),
    async listPodSandboxStats({ filter }) {
      const pods = listSandboxes(records, undefined).filter(
        ({ record, config: { labels } }) =>
          record.state === "ready" &&
          (!filter?.id || record.id.startsWith(filter.id)) &&
          matchesLabels(labels, filter?.labelSelector ?? {}),
      );
      return { stats: await Promise.all(pods.map((pod) => stats.pod(pod))) };
    },
    listMetricDescriptors: async () => ({ descriptors: metricDescriptors }),
    async listPodSandboxMetrics() {
      const pods = listSandboxes(records, undefined).filter(({ record }) => record.state === "ready");
      return { podMetrics: await Promise.all(pods.map(async (pod) => podMetrics(await stats.pod(pod)))) };
    },
    // The pod's cgroup is kubelet's own, which has changed it: what the pod is meant to have is kept, as containerd does.
    async updatePodSandboxResources({ podSandboxId, overhead, resources }) {
      const sandbox = records.sandboxes.get(podSandboxId);
      await context.locks.run(sandbox.record.id, () =>
        updateSandbox(records, sandbox, { overhead, resources }),
      );
      return {};
    },
  };
}
