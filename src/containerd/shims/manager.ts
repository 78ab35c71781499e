import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { TaskDeleteSchema, TaskExitSchema } from "../../../proto/gen/containerd/events/task_pb.ts";
import type { Envelope } from "../../../proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { DeleteResponseSchema } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { KeyedMutex } from "../../base/async.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { namesIn } from "../../base/directory.ts";
import { alreadyExists, CortenError, messageOf, notFound } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { type Bundles, monitoredFifos, removeLeftCgroups, type Stdio } from "../../shim/index.ts";
import type { Mount } from "../../sys/mount.ts";
import type { Exchange } from "../events/exchange.ts";
import { loadBootstrap, parseStart, saveBootstrap } from "./bootstrap.ts";
import { makeShimBundle, removeShimBundle, shimBinaryOf } from "./bundle.ts";
import { callShim, type ShimCommand } from "./command.ts";
import { serveShimEvents } from "./events.ts";
import { followLog } from "./log-fifo.ts";
import { endOrphans } from "./orphans.ts";
import { type ShimExit, ShimProcess } from "./process.ts";
import { findShim } from "./resolve.ts";

export interface ShimManagerOptions {
  bundles: Bundles;
  /** Below which shims have directories that outlive a reboot. */
  root: string;
  /** Our gRPC socket, as shims are told of it; their events come to `<address>.ttrpc`. */
  address: string;
  exchange: Exchange;
  env: readonly string[];
  debug: boolean;
}

export interface ShimTaskRequest {
  namespace: string;
  id: string;
  /** The runtime's name, or a path. */
  runtime: string;
  config: Uint8Array;
  spec: Spec | undefined;
  rootfs: Mount[];
  stdio: Stdio;
  options: Any | undefined;
  /** Gives the directory of images that are to be restored, which may be made in the bundle; "" for none. */
  checkpointIn: (bundle: string) => Promise<string>;
}

/** Written into a bundle when its container's exit has been published. */
const toldFile = "exit-published";

/**
 * Shims that are processes of their own (containerd, "Runtime v2"): started by their program, driven by ttrpc, found
 * again after a restart by what is in their bundles, and cleaned up after when they are killed.
 */
export class ShimManager {
  readonly #options: ShimManagerOptions;
  readonly #tasks = new Map<string, ShimProcess>();
  readonly #locks = new KeyedMutex();
  #events: { close(): void } | undefined;

  constructor(options: ShimManagerOptions) {
    this.#options = options;
  }

  find(namespace: string, id: string): ShimProcess | undefined {
    return this.#tasks.get(`${namespace}/${id}`);
  }

  list(namespace: string): ShimProcess[] {
    return [...this.#tasks.values()].filter((task) => task.namespace === namespace);
  }

  create(request: ShimTaskRequest): Promise<number> {
    return this.#lock(request.namespace, request.id, () =>
      span("shim", "start shim", () => this.#create(request)),
    );
  }

  async #create(request: ShimTaskRequest): Promise<number> {
    const { namespace, id, options, rootfs } = request;
    const { bundles, root } = this.#options;
    const binary = findShim(request.runtime);
    await using undo = new Cleanup();
    let bundle: string;
    try {
      bundle = makeShimBundle(bundles, join(root, "io.containerd.runtime.v2.task"), { ...request, binary });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST")
        throw alreadyExists(`task ${id}: already exists`, error);
      throw error;
    }
    undo.add(`remove bundle ${bundle}`, () => removeShimBundle(bundles, namespace, id));
    const checkpoint = await request.checkpointIn(bundle);
    this.#serveEvents();
    const command = this.#command(namespace, id, binary);
    const shimLog = followLog(bundle, id);
    undo.add("close the shim's log", () => shimLog.close());
    const task = await this.#start(command, options, shimLog);
    undo.add("end the shim", async () => {
      await task.shutdown();
      // Whatever its runtime has left; a shim that answers has nothing to say to it.
      await callShim(command, "delete").catch(() => {});
    });
    const io = await monitoredFifos(request.stdio);
    let pid: number;
    try {
      const mounts = rootfs.map(({ target = "", ...mount }) => ({ ...mount, target }));
      ({ pid } = await task.api.create({
        id,
        bundle,
        rootfs: mounts,
        checkpoint,
        ...io.stdio,
        ...(options ? { options } : {}),
      }));
    } catch (error) {
      io.abandon();
      throw error;
    }
    undo.release();
    this.#tasks.set(`${namespace}/${id}`, task);
    return pid;
  }

  async #start(
    command: ShimCommand,
    options: Any | undefined,
    shimLog: { close(): void },
  ): Promise<ShimProcess> {
    try {
      const output = await callShim(command, "start", options ? toBinary(AnySchema, options) : undefined);
      const bootstrap = parseStart(output);
      saveBootstrap(command.bundle, bootstrap);
      const task = new ShimProcess(command, bootstrap, shimLog);
      await task.open(() => void this.#lost(task));
      return task;
    } catch (error) {
      throw new CortenError("unknown", `failed to start shim: start failed: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Adds a process to a task. */
  async exec(
    task: ShimProcess,
    request: { execId: string; stdio: Stdio; spec: Any | undefined },
  ): Promise<void> {
    const { execId, spec } = request;
    const io = await monitoredFifos(request.stdio);
    try {
      await task.api.exec({ id: task.id, execId, ...io.stdio, ...(spec ? { spec } : {}) });
    } catch (error) {
      io.abandon();
      throw error;
    }
  }

  /** Deletes a stopped task, and ends its shim if that has no other. */
  delete(task: ShimProcess): Promise<ShimExit> {
    return this.#lock(task.namespace, task.id, async () => {
      if (this.find(task.namespace, task.id) !== task) throw notFound(`task ${task.id} not found: not found`);
      const { pid, exitStatus, exitedAt } = await task.api.delete({ id: task.id });
      this.#tasks.delete(`${task.namespace}/${task.id}`);
      await task.shutdown();
      removeShimBundle(this.#options.bundles, task.namespace, task.id);
      const at = exitedAt ? new Date(Number(exitedAt.seconds) * 1000 + exitedAt.nanos / 1e6) : new Date();
      return { pid, exitStatus, exitedAt: at };
    });
  }

  /** Finds the shims that a previous daemon left, before any call is served. */
  async reconcile(): Promise<void> {
    const { bundles } = this.#options;
    const found: Array<Promise<void>> = [];
    for (const namespace of namesIn(bundles.root))
      for (const id of namesIn(join(bundles.root, namespace))) {
        const binary = shimBinaryOf(bundles.path(namespace, id));
        if (binary !== undefined) found.push(this.#load(this.#command(namespace, id, binary)));
      }
    await Promise.all(found);
  }

  async #load(command: ShimCommand): Promise<void> {
    const { namespace, id, bundle } = command;
    this.#serveEvents();
    let task: ShimProcess | undefined;
    try {
      const bootstrap = loadBootstrap(bundle);
      if (!bootstrap) throw notFound(`the shim of ${id} was never started`);
      task = new ShimProcess(command, bootstrap, followLog(bundle, id));
      const known = task;
      await task.open(() => void this.#lost(known));
      const state = await task.state();
      if (!state) throw notFound(`the shim of ${id} has no such task`);
      task.told = existsSync(join(bundle, toldFile));
      this.#tasks.set(`${namespace}/${id}`, task);
      if (state.stopped && !task.told) this.#publishExit(task, state.exit);
      log.info(`task ${id} of ${namespace} ${state.stopped ? "had ended" : "found again"} in its shim`);
    } catch (error) {
      log.info(`task ${id} of ${namespace} is cleaned up after`, { why: messageOf(error) });
      await task?.shutdown();
      const exit = await this.#cleanUp(command);
      if (loadBootstrap(bundle) && !existsSync(join(bundle, toldFile))) this.#publishEnd(command, exit);
      removeShimBundle(this.#options.bundles, namespace, id);
    }
  }

  /** A shim has died: its `delete` ends what it left, and tells how. */
  async #lost(task: ShimProcess): Promise<void> {
    const { namespace, id } = task;
    await this.#lock(namespace, id, async () => {
      if (task.over) return;
      task.lost = true;
      task.close();
      log.warn(`the shim of task ${id} of ${namespace} is gone`);
      const exit = await this.#cleanUp(task.command);
      if (this.find(namespace, id) === task) {
        if (!task.told) this.#publishExit(task, exit);
        this.#publishDelete(task.command, exit);
        this.#tasks.delete(`${namespace}/${id}`);
      }
      removeShimBundle(this.#options.bundles, namespace, id);
      task.ended(exit);
    }).catch((error) =>
      log.error(`task ${id} of ${namespace} could not be cleaned up after`, { error: messageOf(error) }),
    );
  }

  async #cleanUp(command: ShimCommand): Promise<ShimExit> {
    await endOrphans(command.bundle);
    try {
      const output = await callShim(command, "delete");
      const { pid, exitStatus, exitedAt } = fromBinary(DeleteResponseSchema, output);
      return {
        pid,
        exitStatus,
        exitedAt: exitedAt ? new Date(Number(exitedAt.seconds) * 1000) : new Date(),
      };
    } catch (error) {
      log.warn(`cannot delete what the shim of ${command.id} left`, { error: messageOf(error) });
      return { pid: 0, exitStatus: 255, exitedAt: new Date() };
    } finally {
      // A shim killed together with its runtime's create has made them, and nobody knows.
      await removeLeftCgroups(command.bundle, command.id, false);
    }
  }

  #publishEnd(command: ShimCommand, exit: ShimExit): void {
    this.#publish(command, "/tasks/exit", exit);
    this.#publishDelete(command, exit);
  }

  #publishExit(task: ShimProcess, exit: ShimExit): void {
    task.told = true;
    this.#markTold(task.bundle);
    this.#publish(task.command, "/tasks/exit", exit);
  }

  #publish({ namespace, id }: ShimCommand, topic: string, exit: ShimExit): void {
    const { pid, exitStatus } = exit;
    const exitedAt = timestampFromDate(exit.exitedAt);
    this.#options.exchange.publish(namespace, topic, TaskExitSchema, {
      containerId: id,
      id,
      pid,
      exitStatus,
      exitedAt,
    });
  }

  #publishDelete({ namespace, id }: ShimCommand, { pid, exitStatus, exitedAt: at }: ShimExit): void {
    const exitedAt = timestampFromDate(at);
    this.#options.exchange.publish(namespace, "/tasks/delete", TaskDeleteSchema, {
      containerId: id,
      id,
      pid,
      exitStatus,
      exitedAt,
    });
  }

  #serveEvents(): void {
    this.#events ??= serveShimEvents(`${this.#options.address}.ttrpc`, this.#options.exchange, (envelope) =>
      this.#isNews(envelope),
    );
  }

  /** A shim sends an event again until it is taken; the exit of a container is told once, by it or by us. */
  #isNews({ namespace, topic, event }: Envelope): boolean {
    if (topic !== "/tasks/exit" || !event) return true;
    const { containerId, id } = fromBinary(TaskExitSchema, event.value);
    if (id !== containerId) return true;
    const task = this.find(namespace, containerId);
    // Of one that is being made: create has not answered yet.
    if (!task) return true;
    if (task.told) return false;
    task.told = true;
    this.#markTold(task.bundle);
    return true;
  }

  #markTold(bundle: string): void {
    try {
      writeFileSync(join(bundle, toldFile), "");
    } catch {
      // Deleted by now.
    }
  }

  #command(namespace: string, id: string, binary: string): ShimCommand {
    const { address, bundles, debug, env } = this.#options;
    return {
      binary,
      namespace,
      id,
      bundle: bundles.path(namespace, id),
      address,
      ttrpcAddress: `${address}.ttrpc`,
      debug,
      env,
    };
  }

  #lock<T>(namespace: string, id: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(`${namespace}/${id}`, work);
  }

  /** Leaves all shims alone. */
  close(): void {
    for (const task of this.#tasks.values()) task.close();
    this.#events?.close();
  }
}
