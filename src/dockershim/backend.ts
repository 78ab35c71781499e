/** CRI on the Engine API: pods are containers of a Docker daemon, the real one or ours. */
import { KeyedMutex } from "../base/async.ts";
import { conflict, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Cni } from "../cri/cni/cni.ts";
import type { Backend } from "../cri/service/backend.ts";
import { Checkpoints } from "./checkpoints.ts";
import { requireRunning } from "./container/exec.ts";
import { LogCopies } from "./container/log-copies.ts";
import type { Context } from "./context.ts";
import { events } from "./events.ts";
import { getContainer, getSandbox, listOf } from "./find.ts";
import { imageCalls } from "./images/calls.ts";
import { containerType } from "./labels.ts";
import type { DockershimOptions } from "./options.ts";
import { runtimeCalls } from "./runtime-calls.ts";
import { isReady } from "./sandbox/status.ts";
import { streamingRuntime } from "./streaming.ts";

export async function openBackend(options: DockershimOptions): Promise<Backend> {
  const { client } = options;
  const closing = new AbortController();
  const context: Context = {
    client,
    options,
    checkpoints: new Checkpoints(options.root),
    cni: new Cni(options.cni),
    logs: new LogCopies(client, closing.signal, options.copyLogs),
    locks: new KeyedMutex(),
    created: new Map(),
    podCidr: options.podCidr,
    closing: closing.signal,
  };
  await resumeLogs(context);
  return {
    ...runtimeCalls(context),
    ...imageCalls(context),
    streaming: streamingRuntime(context),
    async checkContainer(id) {
      const container = await getContainer(context, id);
      requireRunning(container);
      return { id: container.Id, tty: container.Config.Tty };
    },
    async checkSandbox(id) {
      const sandbox = await getSandbox(context, id);
      if (!isReady(context, sandbox))
        throw conflict(`sandbox container ${JSON.stringify(id)} is not running`);
      return { id: sandbox.Id };
    },
    events: (signal) => events(context, AbortSignal.any([signal, closing.signal])),
    async close() {
      closing.abort();
      context.cni.close();
    },
  };
}

/** Logs that are copied go on where the server before this one left them. */
async function resumeLogs(context: Context): Promise<void> {
  for (const { Id } of await listOf(context, containerType))
    try {
      await context.logs.resume(await getContainer(context, Id));
    } catch (error) {
      log.warn("a container's log is not where kubelet looks for it", { id: Id, error: messageOf(error) });
    }
}
