/** CRI on containerd's client interface alone: on our containerd, in one process or not, and on any other. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { conflict, isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Removal } from "../base/removal.ts";
import { subscribe } from "../containerd/client/index.ts";
import { Cni } from "./cni/cni.ts";
import { requireRunning } from "./container/exec.ts";
import { streamingRuntime } from "./container/streaming.ts";
import type { Context, CriOptions } from "./context.ts";
import { EventBus } from "./events.ts";
import { imageCalls } from "./images/calls.ts";
import { reconcile } from "./reconcile.ts";
import { Records } from "./records.ts";
import { runtimeCalls } from "./runtime-calls.ts";
import type { Backend } from "./service/backend.ts";

/** The namespace of Kubernetes in every containerd. */
export const kubernetesNamespace = "k8s.io";

/** Opens the records and finds again what runs. */
export async function openBackend(options: CriOptions): Promise<Backend> {
  const { client, config } = options;
  for (const dir of [config.root, config.state, join(config.state, "namespaces")])
    mkdirSync(dir, { recursive: true, mode: 0o711 });
  const { version, revision } = await client.version.version({});
  await client.namespaces.create({ namespace: { name: client.namespace } }).catch((error) => {
    if (!isCode(error, "already_exists")) throw error;
  });
  const closing = new AbortController();
  const context: Context = {
    client,
    config,
    resolver: options.resolver,
    own: revision === "corten",
    records: new Records(join(config.root, "cri.db")),
    cni: new Cni(config.cni),
    events: new EventBus(),
    locks: new KeyedMutex(),
    removal: {
      data: new Removal(join(config.root, "removed"), { plain: true }),
      runtime: new Removal(join(config.state, "removed"), { plain: true }),
    },
    closing: closing.signal,
  };
  try {
    await reconcile(context);
  } catch (error) {
    closing.abort();
    context.records[Symbol.dispose]();
    throw error;
  }
  void followOom(context);
  return {
    ...runtimeCalls(context, version),
    ...imageCalls(context),
    streaming: streamingRuntime(context),
    checkContainer(id) {
      const container = context.records.containers.get(id);
      requireRunning(container);
      return { id: container.record.id, tty: container.config.tty };
    },
    checkSandbox(id) {
      const { record } = context.records.sandboxes.get(id);
      if (record.state !== "ready") throw conflict(`sandbox container ${JSON.stringify(id)} is not running`);
      return { id: record.id };
    },
    events: (signal) => context.events.subscribe(AbortSignal.any([signal, closing.signal])),
    async close() {
      closing.abort();
      context.cni.close();
      context.records[Symbol.dispose]();
      await Promise.all([context.removal.data.settled, context.removal.runtime.settled]);
    },
  };
}

/** Notes OOM kills as containerd tells of them; they come before the exit. */
async function followOom(context: Context): Promise<void> {
  const { closing } = context;
  for (let delay = 100; !closing.aborted; delay = Math.min(delay * 2, 5000)) {
    try {
      for await (const { event } of subscribe(context.client, ['topic=="/tasks/oom"'], closing)) {
        delay = 100;
        if (event?.$typeName !== "containerd.events.TaskOOM") continue;
        const container = context.records.containers.find(event.containerId);
        if (container) container.oomKilled = true;
      }
    } catch (error) {
      if (!closing.aborted) log.debug("lost containerd's events", { error: messageOf(error) });
    }
    if (!closing.aborted) await new Promise((done) => setTimeout(done, delay).unref());
  }
}
