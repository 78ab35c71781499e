/** A containerd in this process, and executors of builds called as the solver calls them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inlineFiles } from "../../src/build/context/index.ts";
import { withView } from "../../src/build/files/snapshot.ts";
import { type Operation, vertex } from "../../src/build/graph.ts";
import type {
  BuildRequest,
  BuildServices,
  Contexts,
  Execution,
  Executor,
  Layer,
  Result,
} from "../../src/build/types.ts";
import { type ContainerdClient, inProcess } from "../../src/containerd/client/index.ts";
import { type Containerd, openContainerd } from "../../src/containerd/daemon.ts";
import { mountTemporarily } from "../../src/sys/mount.ts";

export type Layers = Extract<Result, { kind: "layers" }>;

export interface BuildBench extends AsyncDisposable {
  readonly root: string;
  readonly client: ContainerdClient;
  /** Lines that steps wrote. */
  readonly log: string[];
  execution(operation: Operation, inputs: readonly Result[], options?: ExecutionOptions): Execution;
  run<O extends Operation>(
    executor: Executor<O>,
    operation: O,
    inputs?: readonly Result[],
    options?: ExecutionOptions,
  ): Promise<Layers>;
  key<O extends Operation>(
    executor: Executor<O>,
    operation: O,
    inputs?: readonly Result[],
    options?: ExecutionOptions,
  ): Promise<string>;
  /** Shows what the layers come to. */
  view<T>(result: Layers, work: (path: string) => Promise<T> | T): Promise<T>;
  /** What executions have deferred. */
  endBuild(): Promise<void>;
  /** Keys of all snapshots. */
  snapshots(): Promise<string[]>;
}

export interface ExecutionOptions {
  signal?: AbortSignal;
  contexts?: Contexts;
  request?: BuildRequest;
}

export const newRequest = (contexts?: Contexts, signal?: AbortSignal, more: Partial<BuildRequest> = {}) =>
  ({
    contexts,
    signal,
    entitlements: [],
    secrets: { get: async () => undefined },
    ...more,
  }) as unknown as BuildRequest;

const platform = { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };

export async function openBuildBench(): Promise<BuildBench> {
  const root = mkdtempSync(join(tmpdir(), "corten-build-files-"));
  const daemon: Containerd = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
  const bare = inProcess(daemon.services, "build-test");
  await bare.leases.create({ id: "test" });
  const client = bare.with({ lease: "test" });
  const log: string[] = [];
  const services = { client, snapshotter: "overlayfs", root: join(root, "build") } as BuildServices;
  const undo: (() => unknown)[] = [];
  const execution = (
    operation: Operation,
    inputs: readonly Result[],
    options: ExecutionOptions = {},
  ): Execution => {
    const signal = options.signal ?? new AbortController().signal;
    const contexts = options.contexts ?? inlineFiles({}, { root: services.root });
    return {
      vertex: vertex(operation, [], { name: "test", platform }),
      client,
      snapshotter: "overlayfs",
      inputs,
      progress: {
        vertex: () => {},
        status: () => {},
        log: ({ data }) => void log.push(Buffer.from(data).toString()),
        warning: () => {},
      },
      signal,
      request: options.request ?? newRequest(contexts, signal),
      services,
      caches: {
        mount: () => {
          throw new Error("no caches here");
        },
      },
      defer: (_what, step) => void undo.push(step),
    };
  };
  return {
    root,
    client,
    log,
    execution,
    run: async (executor, operation, inputs = [], options = {}) => {
      const result = await executor.execute(operation, execution(operation, inputs, options));
      if (result.kind !== "layers") throw new Error("no layers came of it");
      return result;
    },
    key: async (executor, operation, inputs = [], options = {}) => {
      const key = await executor.contentKey?.(operation, execution(operation, inputs, options));
      if (key === undefined) throw new Error("there is no key");
      return key;
    },
    view: (result: { layers: readonly Layer[] }, work) =>
      withView({ client, snapshotter: "overlayfs" }, result.layers, async (mounts) => {
        using mounted = mountTemporarily(mounts);
        return await work(mounted.path);
      }),
    snapshots: async () => {
      const names: string[] = [];
      for await (const { info } of client.snapshots.list({ snapshotter: "overlayfs" }))
        names.push(...info.map(({ name }) => name));
      return names;
    },
    endBuild: async () => {
      for (const step of undo.splice(0).reverse()) await step();
    },
    [Symbol.asyncDispose]: async () => {
      for (const step of undo.splice(0).reverse()) await step();
      await daemon.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
