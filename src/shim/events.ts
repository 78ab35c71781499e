import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import * as events from "../../proto/gen/containerd/events/task_pb.ts";
import type { ExitRecord } from "../monitor/index.ts";
import type { Mount } from "../sys/mount.ts";
import type { Task, TaskProcess } from "./task.ts";
import type { Publish } from "./types.ts";
import { packAny } from "./typeurl.ts";

/** RFC 3339 with up to nine digits of fraction → a timestamp with its nanoseconds. */
export function timestampOf(text: string): Timestamp | undefined {
  const match = text.match(/^(.+?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/);
  const milliseconds = match ? Date.parse(`${match[1]}${match[3]}`) : Number.NaN;
  if (Number.isNaN(milliseconds)) return undefined;
  const stamp = timestampFromMs(milliseconds);
  return create(TimestampSchema, {
    seconds: stamp.seconds,
    nanos: Number((match?.[2] ?? "").padEnd(9, "0")),
  });
}

/** The events of tasks (topics and messages of containerd's api/events/task.proto). */
export function taskEvents(publish: Publish) {
  const to = (task: Task) => task.record.namespace;
  return {
    create(task: Task, rootfs: Mount[]) {
      const { stdin, stdout, stderr, terminal } = task.init.record.stdio;
      const event = {
        containerId: task.id,
        bundle: task.bundle,
        rootfs: rootfs.map((mount) => ({ ...mount, target: mount.target ?? "" })),
        io: { stdin, stdout, stderr, terminal },
        pid: task.init.record.pid,
      };
      publish(to(task), "/tasks/create", () => packAny(events.TaskCreateSchema, event));
    },
    start(task: Task) {
      const event = { containerId: task.id, pid: task.init.record.pid };
      publish(to(task), "/tasks/start", () => packAny(events.TaskStartSchema, event));
    },
    delete(task: Task, exit: ExitRecord) {
      const exitedAt = timestampOf(exit.exitedAt);
      const event = {
        containerId: task.id,
        id: task.id,
        pid: task.init.record.pid,
        exitStatus: exit.exitCode,
        ...(exitedAt ? { exitedAt } : {}),
      };
      publish(to(task), "/tasks/delete", () => packAny(events.TaskDeleteSchema, event));
    },
    exit(task: Task, process: TaskProcess, exit: ExitRecord) {
      const exitedAt = timestampOf(exit.exitedAt);
      const event = {
        containerId: task.id,
        id: process.record.execId || task.id,
        pid: process.record.pid,
        exitStatus: exit.exitCode,
        ...(exitedAt ? { exitedAt } : {}),
      };
      publish(to(task), "/tasks/exit", () => packAny(events.TaskExitSchema, event));
    },
    oom: (task: Task) =>
      publish(to(task), "/tasks/oom", () => packAny(events.TaskOOMSchema, { containerId: task.id })),
    execAdded: (task: Task, execId: string) =>
      publish(to(task), "/tasks/exec-added", () =>
        packAny(events.TaskExecAddedSchema, { containerId: task.id, execId }),
      ),
    execStarted(task: Task, exec: TaskProcess) {
      const event = { containerId: task.id, execId: exec.record.execId, pid: exec.record.pid };
      publish(to(task), "/tasks/exec-started", () => packAny(events.TaskExecStartedSchema, event));
    },
    paused: (task: Task) =>
      publish(to(task), "/tasks/paused", () => packAny(events.TaskPausedSchema, { containerId: task.id })),
    resumed: (task: Task) =>
      publish(to(task), "/tasks/resumed", () => packAny(events.TaskResumedSchema, { containerId: task.id })),
  };
}
