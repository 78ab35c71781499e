import { basename } from "node:path";
import { Status } from "../../../proto/gen/containerd/v1/types/task_pb.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { type ContainerdClient, packSpec, subscribe, withLease } from "../../containerd/client/index.ts";
import { connectMonitor, readExit } from "../../monitor/index.ts";
import { runtimeNamed } from "../config.ts";
import type { Engine, MadeContainer, Making } from "../engine.ts";
import { getImage } from "../images/store.ts";
import { snapshotterRoot } from "../images/usage.ts";
import { nowNanoseconds } from "../records.ts";
import { packResources } from "../spec/resources.ts";
import { abandonContainer } from "./abandon.ts";
import { changedFiles, checkpointTask } from "./checkpoint.ts";
import type { ContainerdParts } from "./context.ts";
import { shimCounters } from "./counters.ts";
import { startExec } from "./exec.ts";
import { madeContainer, runtimeOf } from "./made.ts";
import { startTask, waitTask } from "./start.ts";

/** A shim that goes at this very moment is absent as well: containerd 1.6 says its connection was closed, and tells the end. */
const ignoringAbsence = async (work: Promise<unknown>): Promise<void> => {
  await work.catch((error) => {
    if (!isCode(error, "not_found") && !/\bttrpc: closed\b/.test(messageOf(error))) throw error;
  });
};

/** Pods on containerd's client interface alone: on our containerd, in one process or not, and on any other. */
export function containerdEngine(context: ContainerdParts, version: string): Engine {
  const { client } = context;
  const oomKilled = new Set<string>();
  void followOom(context, oomKilled);
  return {
    name: "containerd",
    version,
    // Recursive read-only mounts need mount_setattr (Linux 5.12), which our runtime has; of others we do not know.
    features: (handler) => {
      const { type, binaryName } = runtimeNamed(context.config, handler)!;
      return {
        recursiveReadOnlyMounts: context.own && binaryName === undefined,
        // They only join the namespace: what is mapped is mounted by us.
        userNamespaces:
          type === "io.containerd.runc.v2" &&
          (binaryName === undefined || /^(runc|crun|youki)$/.test(basename(binaryName))),
      };
    },
    image: (text) => getImage(client, text),
    making: (work) => withLease(client, (leased) => work(makingOf(leased))),
    async discard(record) {
      await client.containers.delete({ id: record.id }).catch(() => {});
      for (const key of [record.id, ...record.views])
        await client.snapshots.remove({ snapshotter: record.snapshotter, key }).catch(() => {});
    },
    made: (id) => madeContainer(context, id),
    start: (container) => startTask(context, container),
    wait: (id) => waitTask(context, id),
    signal: (containerId, signal) => ignoringAbsence(client.tasks.kill({ containerId, signal })),
    async release({ record }) {
      await client.tasks.delete({ containerId: record.id }).catch((error) => {
        if (!isCode(error, "not_found"))
          log.warn("cannot delete a task", { id: record.id, error: messageOf(error) });
      });
      return { oomKilled: oomKilled.delete(record.id) || (readExit(record.monitorDir)?.oomKilled ?? false) };
    },
    abandon: (record) => abandonContainer(context, record.id),
    async unstart(id) {
      await client.tasks.delete({ containerId: id });
    },
    exec: (container, options) => startExec(context, container, options),
    async attach({ record }, want) {
      const containerId = record.id;
      const monitor = await connectMonitor(record.monitorDir);
      try {
        const streams = await monitor.attach(want);
        return {
          streams,
          exited: monitor.exited,
          resize: async (rows, columns) => {
            await client.tasks.resizePty({ containerId, width: columns, height: rows });
          },
          stdinEnded: () => {
            void client.tasks.closeIO({ containerId, stdin: true }).catch(() => {});
          },
          close: () => {
            streams.close();
            monitor.close();
          },
        };
      } catch (error) {
        monitor.close();
        throw error;
      }
    },
    async reopenLog({ record }) {
      const monitor = await connectMonitor(record.monitorDir);
      try {
        await monitor.reopenLog();
      } finally {
        monitor.close();
      }
    },
    async update(id, spec, resources) {
      if (resources) await client.tasks.update({ containerId: id, resources: packResources(resources) });
      await client.containers.update({
        container: { id, spec: packSpec(spec) },
        updateMask: { paths: ["spec"] },
      });
    },
    async startHolder(holder) {
      await makingOf(client).create(holder);
      const { pid } = await client.tasks.create({ containerId: holder.id });
      await client.tasks.start({ containerId: holder.id });
      return pid;
    },
    async endHolder(id) {
      await ignoringAbsence(client.tasks.kill({ containerId: id, signal: 9, all: true }));
      await ignoringAbsence(client.tasks.wait({ containerId: id }, { timeoutMs: 10_000 }));
      await ignoringAbsence(client.tasks.delete({ containerId: id }));
      await ignoringAbsence(client.containers.delete({ id }));
    },
    async holderPid(id) {
      const { process } = await client.tasks.get({ containerId: id });
      return process?.pid ?? 0;
    },
    async tasks() {
      const { tasks } = await client.tasks.list({});
      return new Map(
        tasks.map((task) => [
          task.id || task.containerId,
          {
            status: statusOf(task.status),
            pid: task.pid,
            end: {
              exitCode: task.exitStatus,
              exitedAt: task.exitedAt
                ? String(task.exitedAt.seconds * 1_000_000_000n + BigInt(task.exitedAt.nanos))
                : nowNanoseconds(),
            },
          },
        ]),
      );
    },
    counters: ({ record }) => shimCounters(context, record.id),
    usage: ({ snapshotter, id }) => client.snapshots.usage({ snapshotter, key: id }),
    checkpoint: ({ record }, directory) => checkpointTask(client, record.id, directory),
    changes: (record) => changedFiles(client, record),
    layersRoot: (snapshotter) => snapshotterRoot(context, snapshotter),
    close: async () => {},
  };
}

const statusOf = (status: Status) =>
  status === Status.CREATED
    ? "created"
    : status === Status.RUNNING || status === Status.PAUSED
      ? "running"
      : "stopped";

function makingOf(client: ContainerdClient): Making {
  return {
    async prepare({ snapshotter, id }, image) {
      return (await client.snapshots.prepare({ snapshotter, key: id, parent: image.chainId ?? "" })).mounts;
    },
    async view({ snapshotter }, key, image) {
      const { mounts } = await client.snapshots.view({
        snapshotter,
        key,
        parent: image.chainId ?? "",
        labels: { "containerd.io/gc.root": new Date().toISOString() },
      });
      return mounts;
    },
    async create({ id, spec, runtime, labels, layer }: MadeContainer) {
      await client.containers.create({
        container: {
          id,
          labels,
          runtime: runtimeOf(runtime),
          spec: packSpec(spec),
          ...(layer
            ? {
                image: layer.image.tags[0] ?? layer.image.digests[0] ?? layer.image.id,
                snapshotter: layer.snapshotter,
                snapshotKey: id,
              }
            : {}),
        },
      });
    },
  };
}

/** Notes OOM kills as containerd tells of them; they come before the exit. */
async function followOom({ client, closing }: ContainerdParts, killed: Set<string>): Promise<void> {
  for (let delay = 100; !closing.aborted; delay = Math.min(delay * 2, 5000)) {
    try {
      for await (const { event } of subscribe(client, ['topic=="/tasks/oom"'], closing)) {
        delay = 100;
        if (event?.$typeName === "containerd.events.TaskOOM") killed.add(event.containerId);
      }
    } catch (error) {
      if (!closing.aborted) log.debug("lost containerd's events", { error: messageOf(error) });
    }
    if (!closing.aborted) await new Promise((done) => setTimeout(done, delay).unref());
  }
}
