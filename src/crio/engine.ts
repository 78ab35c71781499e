/** Pods on a store and OCI runtimes, without containerd: CRI-O's way. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { execProcess } from "../cri/container/exec.ts";
import { containerDir } from "../cri/container/paths.ts";
import type { End, Engine, ExecOptions, FoundTask, MadeContainer, RunningExec } from "../cri/engine.ts";
import { type Container, type ContainerRecord, nanosecondsOf, nowNanoseconds } from "../cri/records.ts";
import { filesOf } from "../cri/sandbox/paths.ts";
import { mapLayers } from "../cri/sandbox/user-namespace.ts";
import { labelledMounts } from "../cri/spec/selinux.ts";
import type { ExitRecord } from "../monitor/index.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { writeDiff } from "../store/index.ts";
import { adaptSpec } from "./adapt.ts";
import { choiceOf } from "./choice.ts";
import { runtimeType } from "./config/cri.ts";
import type { CrioParts } from "./context.ts";
import { getImage } from "./images/find.ts";
import { directoriesIn, type Live, type Place, rootfsOf } from "./processes/processes.ts";

export const engineName = "cri-o";

/** A log at its limit begins anew, as conmon's does: names beside it are kubelet's, which rotates as well. */
const keptLogs = 1;

export async function crioEngine(parts: CrioParts, version: string): Promise<Engine> {
  const { processes, store, settings, metrics } = parts;
  // Root of a user namespace must get through them to its root filesystem.
  for (const kind of ["containers", "sandboxes"])
    mkdirSync(join(parts.config.state, kind), { recursive: true, mode: 0o711 });
  await processes.adoptAll(
    new Map([
      ...directoriesIn(join(parts.config.state, "containers")),
      ...directoriesIn(join(parts.config.state, "sandboxes"), "holder"),
    ]),
  );
  const placeOf = (id: string): Place => {
    const holder = join(filesOf(parts, id).runtimeDir, "holder");
    if (parts.records.sandboxes.find(id)?.record.id === id) return { bundle: holder, dir: holder };
    const { dir, runtimeDir } = containerDir(parts, id);
    return { bundle: dir, dir: runtimeDir };
  };
  const write = (id: string, spec: Spec) => {
    const { bundle } = placeOf(id);
    mkdirSync(bundle, { recursive: true, mode: 0o711 });
    const path = join(bundle, "config.json");
    writeFileSync(`${path}.new`, JSON.stringify(spec), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  const read = (id: string): Spec | undefined => {
    try {
      return JSON.parse(readFileSync(join(placeOf(id).bundle, "config.json"), "utf8")) as Spec;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  };
  const tableOf = (made: MadeContainer) => {
    const name = Object.entries(parts.config.runtimes).find(([, runtime]) => runtime === made.runtime)?.[0];
    return settings.crio.runtime.runtimes[name ?? settings.crio.runtime.default_runtime]!;
  };
  const create = (made: MadeContainer) => {
    const spec = adaptSpec(made, settings.crio, tableOf(made));
    if (made.layer) spec.root = { ...spec.root, path: rootfsOf(placeOf(made.id).dir) };
    write(made.id, spec);
  };
  const ended = (live: Live): Promise<End | undefined> => live.exited.then(endOf);
  const handlerOf = (id: string) => {
    const sandboxId = parts.records.containers.find(id)?.record.sandboxId ?? id;
    return parts.records.sandboxes.get(sandboxId).record.runtimeHandler;
  };

  return {
    name: engineName,
    version,
    // Recursive read-only mounts need mount_setattr (Linux 5.12), which our runtime has; of others we do not know.
    features: (handler) => {
      const binary = parts.config.runtimes[handler || parts.config.defaultRuntime]?.binaryName;
      return {
        recursiveReadOnlyMounts: binary === undefined,
        // They only join the namespace: what is mapped is mounted by us.
        userNamespaces: binary === undefined || /^(runc|crun|youki)$/.test(basename(binary)),
      };
    },
    image: async (text) => getImage(parts, text),
    making: (work) =>
      store.holding(() =>
        work({
          prepare: (record, image) => store.snapshots.prepare(record.id, image.chainId ?? ""),
          view: (_, key, image) => store.snapshots.view(key, image.chainId ?? ""),
          create: async (made) => create(made),
        }),
      ),
    async discard(record) {
      await processes
        .release(record.id)
        .catch((error) =>
          log.warn("a container's process is left", { id: record.id, error: messageOf(error) }),
        );
      for (const key of [record.id, ...record.views])
        await store.snapshots.remove(key).catch((error) => {
          if (!isCode(error, "not_found"))
            log.warn("a container's layer is left", { key, error: messageOf(error) });
        });
      if (!store.records.get(record.imageId as `sha256:${string}`)) void store.collect();
    },
    async made(id) {
      const spec = read(id);
      return spec && { spec, runtimeType };
    },
    async start(container: Container) {
      const { record, config } = container;
      const { id } = record;
      const place = placeOf(id);
      const choice = choiceOf(parts, handlerOf(id));
      const layer = await store.snapshots.mounts(id);
      const { log_size_max: logSizeMax } = settings.crio.runtime;
      const live = await processes.create({
        id,
        place,
        spec: read(id)!,
        choice,
        mounts: labelledMounts(mapLayers(parts, record.sandboxId, layer), record.mountLabel),
        terminal: config.tty,
        stdin: config.stdin,
        stdinOnce: config.stdinOnce,
        ...(record.logPath === ""
          ? {}
          : {
              log: {
                path: record.logPath,
                format: "cri",
                ...(logSizeMax > 0 ? { maxSize: logSizeMax, maxFiles: keptLogs } : {}),
              },
            }),
      });
      try {
        await processes.start(id);
      } catch (error) {
        await processes.release(id);
        throw error;
      }
      return { pid: live.record.pid, ended: ended(live) };
    },
    async wait(id) {
      const live = processes.find(id);
      return live ? ended(live) : { exitCode: 255, exitedAt: nowNanoseconds(), reason: "Unknown" };
    },
    signal: (id, signal) => processes.signal(id, signal),
    async release({ record, config }) {
      const exit = await processes.release(record.id).catch((error) => {
        log.warn("cannot release a container's process", { id: record.id, error: messageOf(error) });
        return undefined;
      });
      const oomKilled = exit?.oomKilled ?? false;
      if (oomKilled) metrics.add("containers_oom_total");
      log.debug("container ended", { id: record.id, name: config.metadata?.name ?? "" });
      return { oomKilled };
    },
    async unstart(id) {
      await processes.release(id);
    },
    exec: (container, options) => startExec(parts, container, options, read(container.record.id)),
    async attach({ record }, want) {
      const { monitor } = processes.get(record.id);
      if (!monitor) throw new Error(`the monitor of ${record.id} is gone`);
      const streams = await monitor.attach(want);
      return {
        streams,
        exited: monitor.exited,
        resize: (rows, columns) => monitor.resize(rows, columns),
        // Monitors see the end of what they are given.
        stdinEnded: () => {},
        close: () => streams.close(),
      };
    },
    async reopenLog({ record }) {
      const { monitor } = processes.get(record.id);
      if (!monitor) throw new Error(`the monitor of ${record.id} is gone`);
      await monitor.reopenLog();
    },
    async update(id, spec, resources) {
      if (resources) await processes.get(id).runtime.update(id, resources);
      write(id, spec);
    },
    async startHolder(holder) {
      create(holder);
      const choice = choiceOf(parts, handlerOf(holder.id));
      const live = await processes.create({
        id: holder.id,
        place: placeOf(holder.id),
        spec: read(holder.id)!,
        choice: { runtime: choice.runtime },
        mounts: [],
        terminal: false,
        stdin: false,
        stdinOnce: false,
      });
      await processes.start(holder.id);
      return live.record.pid;
    },
    async endHolder(id) {
      await processes.release(id);
    },
    async holderPid(id) {
      const live = processes.find(id);
      return live && !live.exit ? live.record.pid : 0;
    },
    async tasks() {
      const found = new Map<string, FoundTask>();
      for (const [id, live] of processes.all()) {
        const status = live.exit ? "stopped" : live.record.state === "started" ? "running" : "created";
        const end = live.exit ? endOf(live.exit) : { exitCode: 0, exitedAt: nowNanoseconds() };
        found.set(id, { status, pid: live.record.pid, end });
      }
      return found;
    },
    async usage({ id }: ContainerRecord) {
      const { size, inodes } = await store.snapshots.usage(id);
      return { size: BigInt(size), inodes: BigInt(inodes) };
    },
    checkpoint: ({ record }, directory) =>
      processes.get(record.id).runtime.checkpoint({
        id: record.id,
        bundle: placeOf(record.id).bundle,
        imagePath: join(directory, "checkpoint"),
        workPath: directory,
        exit: false,
        openTcp: false,
        externalUnixSockets: false,
        terminal: false,
        fileLocks: false,
        cgroupsMode: "",
        emptyNamespaces: [],
      }),
    changes: (record) => changedFiles(store, record.id, getImage(parts, record.imageId).chainId ?? ""),
    layersRoot: async () => store.root,
    async close() {
      processes.close();
      await store.close();
    },
  };
}

const endOf = (exit: ExitRecord): End => ({
  exitCode: exit.exitCode,
  exitedAt: nanosecondsOf(exit.exitedAt),
});

async function* changedFiles(store: CrioParts["store"], id: string, parent: string) {
  const key = `${id}-checkpoint`;
  await store.snapshots.remove(key).catch((error) => {
    if (!isCode(error, "not_found")) throw error;
  });
  const lower = await store.snapshots.view(key, parent);
  try {
    const upper = await store.snapshots.mounts(id);
    yield* writeDiff({ mounts: lower }, { mounts: upper }, { compression: "none", unhashed: true }).stream;
  } finally {
    await store.snapshots.remove(key);
  }
}

/** Runs a command under a monitor of its own, whatever watches the container itself. */
async function startExec(
  parts: CrioParts,
  { record }: Container,
  options: ExecOptions,
  spec: Spec | undefined,
): Promise<RunningExec> {
  const dir = join(containerDir(parts, record.id).runtimeDir, "execs", randomBytes(16).toString("hex"));
  const discard = () => parts.removal.runtime.discard(dir);
  try {
    const { monitor } = await parts.processes.exec(record.id, execProcess(spec, options), dir, {
      terminal: options.tty,
      stdin: options.stdin,
    });
    const streams = await monitor.attach(options);
    return {
      streams,
      exited: monitor.exited.then(({ exitCode }) => exitCode),
      resize: (rows, columns) => monitor.resize(rows, columns),
      stdinEnded: () => {},
      async kill() {
        await monitor.signal(9).catch((error) => {
          if (!isCode(error, "not_found")) throw error;
        });
      },
      async release() {
        monitor.close();
        discard();
      },
    };
  } catch (error) {
    discard();
    throw error;
  }
}
