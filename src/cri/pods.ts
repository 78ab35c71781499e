/** CRI's calls around an engine: records, network, events and reconciliation are the same for every engine. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { conflict } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Removal } from "../base/removal.ts";
import { machinePolicy, SelinuxLabels } from "../oci/selinux.ts";
import { Cni } from "./cni/cni.ts";
import type { CriConfig } from "./config.ts";
import { requireRunning } from "./container/exec.ts";
import { streamingRuntime } from "./container/streaming.ts";
import type { Context } from "./context.ts";
import { EventBus } from "./events.ts";
import { reconcile } from "./reconcile.ts";
import { Records } from "./records.ts";
import { runtimeCalls } from "./runtime-calls.ts";
import type { Backend, ImageCalls } from "./service/backend.ts";

/** A context but for its engine, which is made of these parts. */
export type ContextParts = Omit<Context, "engine">;

function selinuxLabels({ enableSelinux, selinuxCategories }: CriConfig): SelinuxLabels {
  const policy = enableSelinux ? machinePolicy() : undefined;
  if (enableSelinux && !policy) log.warn("Selinux is not supported");
  return new SelinuxLabels(policy, selinuxCategories);
}

/** Opens the records; `close` is for who cannot go on. */
export function openParts(config: CriConfig): { parts: ContextParts; close(): Promise<void> } {
  for (const dir of [config.root, config.state, join(config.state, "namespaces")])
    mkdirSync(dir, { recursive: true, mode: 0o711 });
  const closing = new AbortController();
  const parts: ContextParts = {
    config,
    records: new Records(join(config.root, "cri.db"), selinuxLabels(config)),
    cni: new Cni(config.cni),
    events: new EventBus(),
    locks: new KeyedMutex(),
    removal: {
      data: new Removal(join(config.root, "removed"), { plain: true }),
      runtime: new Removal(join(config.state, "removed"), { plain: true }),
    },
    closing: closing.signal,
  };
  return {
    parts,
    async close() {
      closing.abort();
      parts.cni.close();
      parts.records[Symbol.dispose]();
      await Promise.all([parts.removal.data.settled, parts.removal.runtime.settled]);
    },
  };
}

/** The calls, after what runs has been found again. */
export async function podsBackend(
  context: Context,
  images: ImageCalls,
  close: () => Promise<void>,
): Promise<Backend> {
  const { records } = context;
  try {
    await reconcile(context);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    ...runtimeCalls(context),
    ...images,
    streaming: streamingRuntime(context),
    checkContainer(id) {
      const container = records.containers.get(id);
      requireRunning(container);
      return { id: container.record.id, tty: container.config.tty };
    },
    checkSandbox(id) {
      const { record } = records.sandboxes.get(id);
      if (record.state !== "ready") throw conflict(`sandbox container ${JSON.stringify(id)} is not running`);
      return { id: record.id };
    },
    events: (signal) => context.events.subscribe(AbortSignal.any([signal, context.closing])),
    async close() {
      await close();
      await context.engine.close();
    },
  };
}
