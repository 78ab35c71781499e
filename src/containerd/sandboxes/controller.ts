import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  SandboxCreateSchema,
  SandboxExitSchema,
  SandboxStartSchema,
} from "../../../proto/gen/containerd/events/sandbox_pb.ts";
import type { Controller } from "../../../proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { type Deferred, deferred } from "../../base/async.ts";
import { alreadyExists, CortenError, isCode, notFound, unimplemented } from "../../base/errors.ts";
import { hostPlatform } from "../client/read-image.ts";
import { namespaceOf } from "../context.ts";
import type { Exchange } from "../events/exchange.ts";
import type { SandboxStore, SandboxTimes } from "./store.ts";

/**
 * `containerd.services.sandbox.v1.Controller`, the controller "shim". A sandbox of our runtime is a group of tasks without a
 * process of its own, as in our shim (`shim/v2/sandbox.ts`); how far it has got is kept with its record, so that it
 * outlives the daemon. Shims of others would have to offer sandboxes themselves: those are refused.
 */
export function sandboxControllerService(
  store: SandboxStore,
  exchange: Exchange,
  isOwnRuntime: (runtime: string) => boolean,
): ServiceImpl<typeof Controller> {
  const waiting = new Map<string, Deferred<void>>();
  const make = (namespace: string, id: string): SandboxTimes => {
    const name = store.get(namespace, id).runtime?.name ?? "";
    if (!isOwnRuntime(name))
      throw unimplemented(
        `failed to create sandbox ${id}: sandboxes of the runtime ${JSON.stringify(name)} are not offered: not implemented`,
      );
    if (store.times(namespace, id).madeAt !== undefined)
      throw alreadyExists(`sandbox ${id} already running: already exists`);
    const times = { madeAt: Date.now(), startedAt: undefined, stoppedAt: undefined };
    store.setTimes(namespace, id, times);
    exchange.publish(namespace, "/sandboxes/create", SandboxCreateSchema, { sandboxId: id });
    return times;
  };
  /** Of a sandbox that was made. */
  const timesOf = (namespace: string, id: string): SandboxTimes => {
    const times = store.times(namespace, id);
    if (times.madeAt === undefined) throw notFound(`sandbox ${JSON.stringify(id)}: not found`);
    return times;
  };
  const stop = (namespace: string, id: string): void => {
    const times = timesOf(namespace, id);
    if (times.stoppedAt !== undefined) return;
    const stoppedAt = Date.now();
    store.setTimes(namespace, id, { ...times, stoppedAt });
    exchange.publish(namespace, "/sandboxes/exit", SandboxExitSchema, {
      sandboxId: id,
      exitStatus: 0,
      exitedAt: timestampFromMs(stoppedAt),
    });
    waiting.get(`${namespace}/${id}`)?.resolve();
    waiting.delete(`${namespace}/${id}`);
  };
  const ignoreMissing = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
    }
  };
  return {
    create({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      make(namespaceOf(context), sandboxId);
      return { sandboxId };
    },
    start({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      const namespace = namespaceOf(context);
      const before = store.times(namespace, sandboxId);
      // Clients like ctr go from the record to the start.
      const times = before.madeAt === undefined ? make(namespace, sandboxId) : before;
      const startedAt = times.startedAt ?? Date.now();
      store.setTimes(namespace, sandboxId, { ...times, startedAt });
      exchange.publish(namespace, "/sandboxes/start", SandboxStartSchema, { sandboxId });
      return { sandboxId, pid: process.pid, createdAt: timestampFromMs(times.madeAt!) };
    },
    platform({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      timesOf(namespaceOf(context), sandboxId);
      return { platform: hostPlatform() };
    },
    stop({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      ignoreMissing(() => stop(namespaceOf(context), sandboxId));
      return {};
    },
    async wait({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      const namespace = namespaceOf(context);
      const key = `${namespace}/${sandboxId}`;
      if (timesOf(namespace, sandboxId).stoppedAt === undefined) {
        const over = waiting.get(key) ?? deferred<void>();
        waiting.set(key, over);
        await orGone(over.promise, context.signal);
      }
      const { stoppedAt = Date.now() } = timesOf(namespace, sandboxId);
      return { exitStatus: 0, exitedAt: timestampFromMs(stoppedAt) };
    },
    status({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      let times: SandboxTimes;
      try {
        times = timesOf(namespaceOf(context), sandboxId);
      } catch (error) {
        if (!isCode(error, "not_found")) throw error;
        return { sandboxId, exitedAt: timestampFromMs(Date.now()) };
      }
      const { madeAt, startedAt, stoppedAt } = times;
      const ready = startedAt !== undefined && stoppedAt === undefined;
      return {
        sandboxId,
        pid: process.pid,
        state: ready ? "SANDBOX_READY" : "SANDBOX_NOTREADY",
        createdAt: timestampFromMs(madeAt!),
        ...(stoppedAt === undefined ? {} : { exitedAt: timestampFromMs(stoppedAt) }),
      };
    },
    shutdown({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      const namespace = namespaceOf(context);
      // One that was never made has nothing to end; its client takes the record away next.
      if (store.times(namespace, sandboxId).madeAt === undefined) return {};
      stop(namespace, sandboxId);
      store.setTimes(namespace, sandboxId, { madeAt: undefined, startedAt: undefined, stoppedAt: undefined });
      return {};
    },
    metrics({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      timesOf(namespaceOf(context), sandboxId);
      return { metrics: {} };
    },
    update({ sandboxId, sandboxer }, context) {
      checkSandboxer(sandboxer);
      timesOf(namespaceOf(context), sandboxId);
      return {};
    },
  };
}

/** containerd 1.7's clients name none, nor does ctr. */
function checkSandboxer(name: string): void {
  if (name !== "" && name !== "shim")
    throw notFound(`not found: failed to get sandbox controller by ${name}`);
}

async function orGone(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let gone = () => {};
  const abort = new Promise<never>((_, reject) => {
    gone = () => reject(new CortenError("canceled", "context canceled"));
    signal.addEventListener("abort", gone, { once: true });
  });
  if (signal.aborted) gone();
  try {
    await Promise.race([work, abort]);
  } finally {
    signal.removeEventListener("abort", gone);
  }
}
