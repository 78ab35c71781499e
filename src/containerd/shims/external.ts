import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Any, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { CreateTaskRequest } from "../../../proto/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { CortenError } from "../../base/errors.ts";
import { specIn } from "../../oci/spec-text.ts";
import type { Stdio } from "../../shim/index.ts";
import { plainMount } from "../../sys/mount.ts";
import type { ShimManager, ShimManagerOptions } from "./manager.ts";
import type { ShimExit, ShimProcess } from "./process.ts";
import { isOwnRuntime } from "./resolve.ts";

export interface ExternalShimsOptions extends ShimManagerOptions {
  /** Runtimes of ours by name that are to be shims of their own all the same: the real containerd-shim-runc-v2. */
  runtimes: ReadonlySet<string>;
}

/** What the tasks service sees of shims that are processes of their own; nothing of it is loaded before there is one. */
export class ExternalShims {
  readonly #options: ExternalShimsOptions;
  #loading: Promise<ShimManager> | undefined;
  #manager: ShimManager | undefined;

  constructor(options: ExternalShimsOptions) {
    this.#options = options;
  }

  isOwn(runtime: string): boolean {
    return isOwnRuntime(runtime, this.#options.runtimes);
  }

  find(namespace: string, id: string): ShimProcess | undefined {
    return this.#manager?.find(namespace, id);
  }

  list(namespace: string): ShimProcess[] {
    return this.#manager?.list(namespace) ?? [];
  }

  async create(task: {
    request: CreateTaskRequest;
    namespace: string;
    runtime: string;
    config: Uint8Array;
    options: Any | undefined;
    checkpointIn: (bundle: string) => Promise<string>;
  }): Promise<number> {
    const { request, ...rest } = task;
    const { containerId: id, stdin, stdout, stderr, terminal } = request;
    const manager = await this.#load();
    try {
      return await manager.create({
        ...rest,
        id,
        spec: specIn(task.config),
        rootfs: request.rootfs.map(plainMount),
        stdio: { stdin, stdout, stderr, terminal },
      });
    } catch (error) {
      if (!(error instanceof CortenError)) throw error;
      const text = error.message.startsWith("failed to ")
        ? error.message
        : `failed to create shim task: ${error.message}`;
      throw new CortenError(error.code, text, { cause: error });
    }
  }

  async exec(task: ShimProcess, request: { execId: string; stdio: Stdio; spec: Any | undefined }) {
    await (await this.#load()).exec(task, request);
  }

  async delete(task: ShimProcess) {
    return answer(await (await this.#load()).delete(task));
  }

  async wait(task: ShimProcess, execId: string, signal: AbortSignal) {
    const { exitStatus, exitedAt } = await task.wait(execId, signal);
    return { exitStatus, ...(exitedAt ? { exitedAt: timestampFromDate(exitedAt) } : {}) };
  }

  /** Finds the shims of a previous daemon again. */
  async reconcile(): Promise<void> {
    const { root } = this.#options.bundles;
    if (bundlesIn(root).some((bundle) => existsSync(join(bundle, "shim-binary-path"))))
      await (await this.#load()).reconcile();
  }

  async #load(): Promise<ShimManager> {
    this.#loading ??= import("./manager.ts").then(({ ShimManager }) => new ShimManager(this.#options));
    this.#manager = await this.#loading;
    return this.#manager;
  }

  async close(): Promise<void> {
    (await this.#loading)?.close();
  }
}

const answer = ({ pid, exitStatus, exitedAt }: ShimExit) => ({
  pid,
  exitStatus,
  exitedAt: timestampFromDate(exitedAt),
});

function bundlesIn(root: string): string[] {
  const entries = (path: string) =>
    (existsSync(path) ? readdirSync(path) : []).map((name) => join(path, name));
  return entries(root).flatMap(entries);
}
