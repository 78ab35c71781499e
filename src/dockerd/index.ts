import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { Database } from "../base/database.ts";
import { asCortenError } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { MemoryKeeper } from "../base/memory.ts";
import { Removal } from "../base/removal.ts";
import { span, withTrace } from "../base/trace.ts";
import type { ContainerdClient } from "../containerd/client/index.ts";
import type { ServerTls } from "../http/listen.ts";
import { HttpServer, type Incoming } from "../http/server.ts";
import type { Networks } from "../network/index.ts";
import { Builds } from "./build/builds.ts";
import type { DaemonConfig } from "./config.ts";
import { installProfile } from "./container/apparmor.ts";
import { OomWatch } from "./container/oom.ts";
import { reconcile } from "./container/reconcile.ts";
import { openLabels } from "./container/selinux.ts";
import { ContainerStore, containerSchema } from "./container/store.ts";
import type { Daemon, Monitors, ProfileLoader } from "./daemon.ts";
import { EventBus } from "./events/bus.ts";
import { ExecStore } from "./exec/store.ts";
import type { Host } from "./host.ts";
import { replyError } from "./http/errors.ts";
import { Router } from "./http/router.ts";
import { ImageStore } from "./images/store.ts";
import { product } from "./product.ts";
import { routes } from "./routes.ts";
import type { HostFacts } from "./spec/build.ts";
import { TraceStore } from "./traces.ts";
import { VolumeStore, volumeSchema } from "./volumes/store.ts";

export {
  builtinRuntime,
  type DaemonConfig,
  defaultConfig,
  type RuntimeConfig,
  type TlsFiles,
} from "./config.ts";
export type { Daemon, Monitors } from "./daemon.ts";
export type { FileChange, FileInfo, Host, RootfsTree, SnapshotMount } from "./host.ts";
export { checkCgroupParent } from "./spec/build.ts";
export { hostDevice } from "./spec/devices.ts";
export type { HostFacts };

/** What dockerd is made of; cmd/ supplies it. */
export interface DockerdParts {
  config: DaemonConfig;
  containerd: ContainerdClient;
  inProcess: boolean;
  networks: Networks;
  monitors: Monitors;
  host: Host;
  facts: HostFacts;
  apparmor: ProfileLoader;
  /** Takes the program's code out of this process' memory until it is used again. */
  forgetCode?: () => void;
}

export interface Dockerd {
  readonly daemon: Daemon;
  /** Answers on a host such as `unix:///run/x.sock`; gives the address bound. */
  listen(host: string, tls?: ServerTls): Promise<string>;
  /** Ends the daemon; containers go on. */
  close(): Promise<void>;
}

/** Opens the data root, adopts what lives, and is ready to listen. */
export async function createDockerd(parts: DockerdParts): Promise<Dockerd> {
  const { config } = parts;
  mkdirSync(config.dataRoot, { recursive: true, mode: 0o711 });
  mkdirSync(config.execRoot, { recursive: true, mode: 0o711 });
  const db = new Database(join(config.dataRoot, "dockerd.db"), [`${containerSchema}; ${volumeSchema}`]);
  let containerdVersion: Promise<{ version: string; revision: string }> | undefined;
  let builds: Builds | undefined;
  const containers = new ContainerStore(db);
  const daemon: Daemon = {
    ...parts,
    get builds() {
      builds ??= new Builds(daemon);
      return builds;
    },
    db,
    id: engineId(config.dataRoot),
    events: new EventBus(),
    traces: new TraceStore(),
    containers,
    selinux: openLabels(config, containers),
    execs: new ExecStore(),
    images: new ImageStore(parts.containerd, config.snapshotter),
    volumes: new VolumeStore(db, join(config.dataRoot, "volumes"), parts.host),
    locks: new KeyedMutex(),
    containerdVersion: () => (containerdVersion ??= parts.containerd.version.version({})),
    removal: {
      data: new Removal(join(config.dataRoot, "removed"), { plain: true }),
      exec: new Removal(join(config.execRoot, "removed"), { plain: true }),
    },
    closing: false,
  };
  void installProfile(daemon.apparmor);
  await reconcile(daemon);
  daemon.ooms = new OomWatch(daemon);
  await daemon.builds.adopt();
  const router = new Router(
    daemon,
    routes,
    `${product.name}/${product.version} (linux)`,
    daemon.config.experimental,
  );
  const memory = new MemoryKeeper(parts.forgetCode);
  memory.worked();
  const server = new HttpServer(async (incoming) => {
    await answer(daemon, router, incoming);
    memory.worked();
  });
  return {
    daemon,
    listen: (host, tls) => server.listen(host, { tls, group: "docker" }),
    async close() {
      daemon.closing = true;
      daemon.ooms?.close();
      for (const container of daemon.containers.all()) {
        clearTimeout(container.restartTimer);
        container.stopHealth?.();
      }
      server.close();
      daemon.containers.flush();
      await daemon.builds.close();
      parts.networks.retire();
      await Promise.all([daemon.removal.data.settled, daemon.removal.exec.settled]);
      db[Symbol.dispose]();
    },
  };
}

/** Runs the handler of one request, traced when the client asked for it, and turns what it throws into an answer. */
async function answer(daemon: Daemon, router: Router<Daemon>, incoming: Incoming): Promise<void> {
  const started = performance.now();
  const { head, reply } = incoming;
  try {
    const { call, handler, route } = router.find(incoming);
    const traceparent = head.headers.get("traceparent");
    const run = async () => handler(call);
    if (traceparent === undefined) await run();
    else
      await withTrace(
        traceparent,
        (one) => daemon.traces.add(one),
        () => span("dockerd", route, run, { "http.request.method": head.method, "url.path": head.target }),
      );
  } catch (error) {
    replyError(reply, error);
    if (
      reply.started &&
      !reply.hijacked &&
      asCortenError(error).code !== "not_modified" &&
      reply.status < 400
    )
      reply.close = true;
  }
  log.debug("request", {
    method: head.method,
    path: head.target,
    status: reply.status,
    milliseconds: Math.round((performance.now() - started) * 100) / 100,
  });
}

/** An id that stays with the data root. */
function engineId(root: string): string {
  const path = join(root, "engine-id");
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    const id = randomUUID();
    writeFileSync(path, `${id}\n`);
    return id;
  }
}
