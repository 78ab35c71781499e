import { closeSync, constants, openSync } from "node:fs";
import type { ServiceImpl } from "@connectrpc/connect";
import { ProcessDetailsSchema } from "../../proto/gen/containerd/runc/v1/oci_pb.ts";
import type { Task as TaskService } from "../../proto/gen/containerd/task/v2/shim_pb.ts";
import { Status } from "../../proto/gen/containerd/v1/types/task_pb.ts";
import { conflict, invalid } from "../base/errors.ts";
import type { LinuxResources } from "../oci/runtime-spec.ts";
import { plainMount } from "../sys/mount.ts";
import { timestampOf } from "./events.ts";
import { readSpec } from "./read-spec.ts";
import type { Shim } from "./shim.ts";
import type { Status as TaskStatus } from "./task.ts";
import { packAny, unpackProcess } from "./typeurl.ts";

const statuses: Record<TaskStatus, Status> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
  pausing: Status.PAUSING,
};

interface Context {
  readonly requestHeader: Headers;
  readonly signal: AbortSignal;
}

/** `containerd.task.v2.Task` for the tasks of one shim; the namespace is in the call's metadata, as in ttrpc. */
export function taskService(shim: Shim): ServiceImpl<typeof TaskService> {
  const namespaceOf = (context: Context): string => {
    const namespace = context.requestHeader.get("containerd-namespace");
    if (!namespace) throw conflict("namespace is required: failed precondition");
    return namespace;
  };
  const find = (id: string, context: Context) => shim.find(namespaceOf(context), id);
  return {
    async create(request, context) {
      const { id, bundle, stdin, stdout, stderr, terminal, options } = request;
      const task = await shim.create({
        namespace: namespaceOf(context),
        id,
        bundle,
        spec: shim.bundles.specs.get(bundle) ?? readSpec(bundle),
        rootfs: request.rootfs.map(plainMount),
        stdio: { stdin, stdout, stderr, terminal },
        options,
        checkpoint: request.checkpoint,
      });
      return { pid: task.init.record.pid };
    },
    async start({ id, execId }, context) {
      return { pid: await shim.start(namespaceOf(context), id, execId) };
    },
    state({ id, execId }, context) {
      const task = find(id, context);
      const process = task.process(execId);
      const { pid, stdio } = process.record;
      const exitedAt = process.exit && timestampOf(process.exit.exitedAt);
      return {
        id,
        bundle: task.bundle,
        pid,
        status: statuses[task.status(process)],
        ...stdio,
        exitStatus: process.exit?.exitCode ?? 0,
        ...(exitedAt ? { exitedAt } : {}),
        execId,
      };
    },
    async delete({ id, execId }, context) {
      const { pid, exit } = await shim.delete(namespaceOf(context), id, execId);
      const exitedAt = timestampOf(exit.exitedAt);
      return { pid, exitStatus: exit.exitCode, ...(exitedAt ? { exitedAt } : {}) };
    },
    async pids({ id }, context) {
      const task = find(id, context);
      const execs = new Map([...task.execs.values()].map(({ record }) => [record.pid, record.execId]));
      const processes = (await task.runtime.processes(id)).map((pid) => {
        const execId = execs.get(pid);
        return { pid, ...(execId ? { info: packAny(ProcessDetailsSchema, { execId }) } : {}) };
      });
      return { processes };
    },
    async pause({ id }, context) {
      const task = find(id, context);
      await shim.lock(namespaceOf(context), id, () => task.pause());
      shim.events.paused(task);
      return {};
    },
    async resume({ id }, context) {
      const task = find(id, context);
      await shim.lock(namespaceOf(context), id, () => task.resume());
      shim.events.resumed(task);
      return {};
    },
    async checkpoint({ id, path, options }, context) {
      await shim.checkpoint(namespaceOf(context), id, path, options);
      return {};
    },
    async kill({ id, execId, signal, all }, context) {
      await shim.kill(namespaceOf(context), id, execId, signal, all);
      return {};
    },
    exec({ id, execId, spec, stdin, stdout, stderr, terminal }, context) {
      if (execId === "") throw invalid("exec id must not be empty: invalid argument");
      shim.exec(namespaceOf(context), id, execId, unpackProcess(spec), { stdin, stdout, stderr, terminal });
      return {};
    },
    async resizePty({ id, execId, width, height }, context) {
      const process = find(id, context).process(execId);
      if (!process.record.stdio.terminal)
        throw conflict(`process ${execId || id} has no terminal: failed precondition`);
      await process.monitor?.resize(height, width);
      return {};
    },
    closeIO({ id, execId, stdin }, context) {
      const { stdio } = find(id, context).process(execId).record;
      // Where clients attach to the monitor the end comes by their attachment, after all they have sent.
      if (stdin && !stdio.stdout.startsWith("monitor://")) endFifo(stdio.stdin);
      return {};
    },
    async update({ id, resources }, context) {
      if (!resources) throw invalid("resources are missing: invalid argument");
      const text = new TextDecoder().decode(resources.value);
      await shim.update(namespaceOf(context), id, JSON.parse(text) as LinuxResources);
      return {};
    },
    async wait({ id, execId }, context) {
      const exit = await find(id, context).process(execId).wait();
      const exitedAt = timestampOf(exit.exitedAt);
      return { exitStatus: exit.exitCode, ...(exitedAt ? { exitedAt } : {}) };
    },
    async stats({ id }, context) {
      const task = find(id, context);
      return { stats: await task.runtime.stats(id, task.init.record.pid) };
    },
    connect({ id }, context) {
      return { shimPid: process.pid, taskPid: find(id, context).init.record.pid, version: "3" };
    },
    // One shim serves all tasks and ends with the daemon.
    shutdown: () => ({}),
  };
}

/**
 * Lets the monitor see the end of a FIFO once it has read what is in there and the client has closed it: to close the
 * process's stdin here and now would cut off what is still under way.
 */
function endFifo(stdin: string): void {
  if (stdin === "") return;
  try {
    closeSync(openSync(stdin.replace(/^fifo:\/\//, ""), constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // Nobody reads it any more.
  }
}
