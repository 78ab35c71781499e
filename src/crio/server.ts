/** CRI-O: CRI on a store and OCI runtimes, without containerd and without Docker. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { invalid, messageOf } from "../base/errors.ts";
import { configureLog, log } from "../base/log.ts";
import type { CriConfig } from "../cri/config.ts";
import type { Context } from "../cri/context.ts";
import { openParts, podsBackend } from "../cri/pods.ts";
import { removeSandbox } from "../cri/sandbox/stop.ts";
import type { Backend } from "../cri/service/backend.ts";
import { serveBackend } from "../cri/service/serve.ts";
import { loadCrioProfile } from "../cri/spec/apparmor.ts";
import { appArmor } from "../sys/apparmor/machine.ts";
import { goFirst } from "../sys/priority.ts";
import { criConfig } from "./config/cri.ts";
import { ineffectiveKeys } from "./config/ineffective.ts";
import { type ConfigFiles, readConfig } from "./config/read.ts";
import type { Table } from "./config/toml.ts";
import type { CrioConfig } from "./config/types.ts";
import type { CrioParts, Settings } from "./context.ts";
import { crioEngine } from "./engine.ts";
import { imageCalls } from "./images/calls.ts";
import { ImageStore } from "./images/store.ts";
import { inspect } from "./inspect.ts";
import { listenBoth } from "./listen.ts";
import { Metrics } from "./metrics.ts";
import { serveMetrics } from "./metrics-server.ts";
import { Processes } from "./processes/processes.ts";
import { type RegistryFiles, readRegistries } from "./registries/read.ts";
import type { Registries } from "./registries/types.ts";
import { applyReload } from "./reload.ts";
import { version } from "./version.ts";
import { decideWipe, markClean, markRunning, readSigns, wipeVersion } from "./wipe.ts";

export interface CrioOptions {
  files: ConfigFiles;
  /** What the command line says, as a document. */
  overrides: Table;
  registries: RegistryFiles;
}

export interface Crio {
  readonly socket: string;
  /** Reads the files again; a configuration that is wrong leaves everything as it is. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** Opens store and records, finds again what runs, and serves. */
export async function openCrio({ files, overrides, registries }: CrioOptions): Promise<Crio> {
  const { config, files: read, unknown } = readConfig(files, overrides);
  configureLog({ level: logLevel(config) });
  for (const file of read) log.info("configuration", { file });
  for (const key of unknown) log.warn("a key is not known here", { key });
  for (const { key, why } of ineffectiveKeys(config)) log.warn("a key has no effect", { key, why });
  const settings = { crio: config, registries: readRegistries(registries) };
  const served = criConfig(config);
  const wipe = decideWipe(readSigns(config), wipeVersion);
  if (config.internal_wipe && wipe.storage) {
    log.warn("the machine went down before all was written: the storage is wiped", { root: served.root });
    wipeStorage(config);
  }
  await loadCrioProfile(config.runtime.apparmor_profile, appArmor).catch((error) => {
    throw invalid(`unable to load AppArmor profile: ${messageOf(error)}`, error);
  });
  const opened = await openPodsOn(config, settings.registries, { settings, served });
  const { context, store, parts, backend, metrics } = opened;
  if (config.internal_wipe && wipe.containers) await wipeContainers(context);
  if (config.internal_wipe && wipe.images) await wipeImages(store);
  else void store.collect();
  markRunning(config);
  const cri = await serveBackend(measured(backend, metrics), served.stream);
  const socket = config.api.listen;
  const listening = await listenBoth(socket, cri.handler, (path) => inspect(parts, context.engine, path));
  const figures = await serveMetrics(config, metrics);
  goFirst();
  log.info("serving...", { address: socket, runtime: config.runtime.default_runtime });
  return {
    socket,
    async reload() {
      try {
        const fresh = readConfig(files, overrides).config;
        const profile = fresh.runtime.apparmor_profile;
        if (profile !== settings.crio.runtime.apparmor_profile)
          await loadCrioProfile(profile, appArmor).catch((error) => {
            throw invalid(`unable to reload apparmor_profile: ${messageOf(error)}`, error);
          });
        const changed = applyReload(settings, served, fresh, readRegistries(registries));
        configureLog({ level: logLevel(settings.crio) });
        log.info("configuration read again", { changed: changed.join(", ") || "nothing" });
      } catch (error) {
        log.error("the configuration stays as it was", { error: messageOf(error) });
      }
    },
    async close() {
      await listening.close();
      await figures?.close();
      await cri.close();
      markClean(config);
    },
  };
}

/** Store, records and engine, without a socket. */
export async function openPodsOn(
  config: CrioConfig,
  registries: Registries,
  given?: { settings: Settings; served: CriConfig },
) {
  const settings = given?.settings ?? { crio: config, registries };
  const { parts: pods, close } = openParts(given?.served ?? criConfig(config));
  const metrics = new Metrics();
  let store: ImageStore | undefined;
  try {
    store = await ImageStore.open(storeRoot(config), config.storage_driver);
    const processes = new Processes((path) => pods.removal.runtime.discard(path));
    const parts: CrioParts = { ...pods, settings, store, metrics, processes };
    const context: Context = { ...pods, engine: await crioEngine(parts, version) };
    const backend = await podsBackend(context, imageCalls(parts), close);
    return { context, parts, store, backend, metrics };
  } catch (error) {
    await store?.close();
    await close();
    throw error;
  }
}

/** Images, layers and what is read of them. */
export const storeRoot = (config: CrioConfig): string => join(config.root, "corten/storage");

/** All of ours below the storage's roots, and nothing of others'. */
export function wipeStorage(config: CrioConfig): void {
  const { root } = criConfig(config);
  for (const path of [root, storeRoot(config)]) rmSync(path, { recursive: true, force: true });
}

/** After a reboot nothing of a pod lives; what is left of it on disk goes, and its address is given back. */
export async function wipeContainers(context: Context): Promise<void> {
  for (const sandbox of context.records.sandboxes.all()) {
    log.info("a pod of before the reboot is removed", { id: sandbox.record.id });
    await removeSandbox(context, sandbox).catch((error) =>
      log.warn("a pod is not removed", { id: sandbox.record.id, error: messageOf(error) }),
    );
  }
}

export async function wipeImages(store: ImageStore): Promise<void> {
  for (const { id } of store.records.all()) store.records.remove(id);
  await store.collect();
}

/** Counts every call by its name. */
function measured(backend: Backend, metrics: Metrics): Backend {
  const entries = Object.entries(backend).map(([name, call]) => {
    if (typeof call !== "function" || ["checkContainer", "checkSandbox", "events", "close"].includes(name))
      return [name, call];
    const operation = name.replace(/^./, (letter) => letter.toUpperCase());
    const plain = call as (...args: unknown[]) => Promise<unknown>;
    return [name, (...args: unknown[]) => metrics.measured(operation, () => plain.apply(backend, args))];
  });
  return Object.fromEntries(entries) as Backend;
}

/** CRI-O has more levels than we do. */
function logLevel({ runtime }: CrioConfig): "debug" | "info" | "warn" | "error" {
  switch (runtime.log_level) {
    case "trace":
    case "debug":
      return "debug";
    case "warn":
    case "warning":
      return "warn";
    case "error":
    case "fatal":
    case "panic":
      return "error";
    default:
      return "info";
  }
}
