import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Sandbox } from "../../../proto/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { notFound } from "../../base/errors.ts";
import type { Shim } from "../shim.ts";

interface Group {
  state: "created" | "ready" | "stopped";
  createdAt: ReturnType<typeof timestampNow>;
  exitedAt: ReturnType<typeof timestampNow> | undefined;
  exited: PromiseWithResolvers<void>;
}

/**
 * `containerd.runtime.sandbox.v1.Sandbox` as Go's runc shim has it: a sandbox is a group of tasks in this process and has
 * no process of its own. containerd's CRI makes its pause container by the Task service.
 */
export function sandboxService(_shim: Shim): ServiceImpl<typeof Sandbox> {
  const groups = new Map<string, Group>();
  const key = (namespace: string | null, id: string) => `${namespace ?? ""}/${id}`;
  const find = (headers: Headers, id: string): Group => {
    const group = groups.get(key(headers.get("containerd-namespace"), id));
    if (!group) throw notFound(`sandbox ${id}: not found`);
    return group;
  };
  const stop = (group: Group) => {
    if (group.state === "stopped") return;
    group.state = "stopped";
    group.exitedAt = timestampNow();
    group.exited.resolve();
  };
  return {
    createSandbox({ sandboxId }, { requestHeader }) {
      groups.set(key(requestHeader.get("containerd-namespace"), sandboxId), {
        state: "created",
        createdAt: timestampNow(),
        exitedAt: undefined,
        exited: Promise.withResolvers(),
      });
      return {};
    },
    startSandbox({ sandboxId }, { requestHeader }) {
      const group = find(requestHeader, sandboxId);
      group.state = "ready";
      return { pid: process.pid, createdAt: group.createdAt };
    },
    platform: () => ({
      platform: { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch },
    }),
    stopSandbox({ sandboxId }, { requestHeader }) {
      stop(find(requestHeader, sandboxId));
      return {};
    },
    async waitSandbox({ sandboxId }, { requestHeader }) {
      const group = find(requestHeader, sandboxId);
      await group.exited.promise;
      return { exitStatus: 0, ...(group.exitedAt ? { exitedAt: group.exitedAt } : {}) };
    },
    sandboxStatus({ sandboxId }, { requestHeader }) {
      const { state, createdAt, exitedAt } = find(requestHeader, sandboxId);
      return {
        sandboxId,
        pid: process.pid,
        state: state === "ready" ? "SANDBOX_READY" : "SANDBOX_NOTREADY",
        createdAt,
        ...(exitedAt ? { exitedAt } : {}),
      };
    },
    pingSandbox: () => ({}),
    shutdownSandbox({ sandboxId }, { requestHeader }) {
      const name = key(requestHeader.get("containerd-namespace"), sandboxId);
      const group = groups.get(name);
      if (group) stop(group);
      groups.delete(name);
      return {};
    },
    sandboxMetrics: () => ({ metrics: {} }),
  };
}
