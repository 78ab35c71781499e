/** Builds over a containerd in this process, with executors that make real snapshots and do as their arguments say. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Deferred, deferred } from "../../src/base/async.ts";
import { CortenError } from "../../src/base/errors.ts";
import { Cache } from "../../src/build/cache/index.ts";
import { digestOf, type Operation, type Vertex, vertex } from "../../src/build/graph.ts";
import type { Parts } from "../../src/build/parts.ts";
import type { LogProgress, Progress, StatusProgress, VertexProgress } from "../../src/build/progress.ts";
import type { Executors } from "../../src/build/solver/index.ts";
import { pruneSources } from "../../src/build/sources/index.ts";
import type { BuildRequest, BuildServices, Execution, Layer, Result } from "../../src/build/types.ts";
import { type ContainerdClient, inProcess } from "../../src/containerd/client/index.ts";
import { type Containerd, openContainerd } from "../../src/containerd/daemon.ts";
import type { Platform } from "../../src/oci/image-spec.ts";
import { withMounts } from "../../src/sys/mount.ts";

export const platform: Platform = { os: "linux", architecture: "amd64" };
export const snapshotter = "overlayfs";

/** Everything a build was told. */
export class Recorder implements Progress {
  readonly vertices: VertexProgress[] = [];
  readonly logs: LogProgress[] = [];
  readonly statuses: StatusProgress[] = [];
  vertex(progress: VertexProgress): void {
    this.vertices.push(progress);
  }
  log(progress: LogProgress): void {
    this.logs.push(progress);
  }
  status(progress: StatusProgress): void {
    this.statuses.push(progress);
  }
  warning(): void {}
  /** Name → how it ended: `run`, `cached`, `error: …`, or `begun` when it has not. */
  get ends(): Record<string, string> {
    const ends: Record<string, string> = {};
    for (const { name, started, completed, cached, error } of this.vertices) {
      if (!started) continue;
      ends[name] = error ? `error: ${error}` : completed ? (cached ? "cached" : "run") : "begun";
    }
    return ends;
  }
  output(of: Vertex): string {
    return this.logs
      .filter((log) => log.vertex === of.digest)
      .map((log) => new TextDecoder().decode(log.data))
      .join("");
  }
}

export interface World extends AsyncDisposable {
  readonly root: string;
  readonly client: ContainerdClient;
  readonly services: BuildServices;
  readonly executors: Executors;
  /** What was executed, in order of beginning. */
  readonly executed: string[];
  /** How many executions were running at once at most. */
  readonly most: () => number;
  /** What `run("wait:NAME")` waits for. */
  gate(name: string): Deferred<void>;
  /** Resolves when `run("wait:NAME")` waits. */
  waiting(name: string): Promise<void>;
  /** Ends containerd in good order and opens it again, with a new client. */
  restart(): Promise<void>;
  request(change?: Partial<BuildRequest>): BuildRequest & { progress: Recorder };
  /** Contents of all files of a result's root, by name. */
  read(layers: readonly Layer[]): Promise<Record<string, string>>;
  snapshots(): Promise<string[]>;
  leases(): Promise<string[]>;
  collect(): Promise<void>;
}

export async function openWorld(
  options: {
    parallelism?: number;
    /** An existing one, which stays. */
    root?: string;
    /** A client of another containerd, instead of one in this process. */
    client?: ContainerdClient;
  } = {},
): Promise<World> {
  const root = options.root ?? mkdtempSync(join(tmpdir(), "corten-build-"));
  let daemon: Containerd | undefined;
  let client: ContainerdClient;
  const open = async () => {
    if (options.client) {
      client = options.client;
      return;
    }
    daemon = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
    client = inProcess(daemon.services, "build");
    // Views of one that was killed while it looked: no collector takes them.
    const views: string[] = [];
    for await (const { info } of client.snapshots.list({ snapshotter }))
      views.push(...info.map(({ name }) => name).filter((name) => name.startsWith("look-")));
    for (const key of views) await client.snapshots.remove({ snapshotter, key });
  };
  await open();
  const executed: string[] = [];
  const gates = new Map<string, { gate: Deferred<void>; waiting: Deferred<void> }>();
  const gateOf = (name: string) => {
    const known = gates.get(name) ?? { gate: deferred<void>(), waiting: deferred<void>() };
    gates.set(name, known);
    return known;
  };
  let running = 0;
  let most = 0;
  let number = 0;

  async function execute<T>(name: string, work: () => Promise<T>): Promise<T> {
    executed.push(name);
    running++;
    most = Math.max(most, running);
    try {
      return await work();
    } finally {
      running--;
    }
  }

  async function commit(
    execution: Execution,
    base: readonly Layer[],
    fill: (directory: string) => Promise<void> | void,
  ): Promise<Result> {
    const { client, signal } = execution;
    const key = `step-${process.pid}-${number++}`;
    const { mounts } = await client.snapshots.prepare({
      snapshotter,
      key,
      parent: base.at(-1)?.snapshot ?? "",
    });
    try {
      await withMounts(mounts, fill);
      if (signal.aborted) throw new CortenError("canceled", "context canceled");
      await client.snapshots.commit({ snapshotter, key, name: `${key}-done` });
    } catch (error) {
      await client.snapshots.remove({ snapshotter, key });
      throw error;
    }
    return { kind: "layers", key: digestOf(key), layers: [...base, { snapshot: `${key}-done` }] };
  }

  const layersOf = (result: Result | undefined): readonly Layer[] =>
    result?.kind === "layers" ? result.layers : [];

  const executors: Executors = {
    run: {
      execute: (operation, execution) =>
        execute(execution.vertex.name, () =>
          commit(execution, layersOf(execution.inputs[operation.base ?? -1]), async (directory) => {
            const { vertex, progress, signal } = execution;
            const say = (text: string) =>
              progress.log({
                vertex: vertex.digest,
                stream: 1,
                data: new TextEncoder().encode(text),
                timestamp: new Date(),
              });
            for (const argument of operation.args) {
              const colon = `${argument}:`.indexOf(":");
              const [verb, name] = [argument.slice(0, colon), argument.slice(colon + 1)];
              if (verb === "say") say(name);
              else if (verb === "fail") throw new CortenError("unknown", name);
              else if (verb === "wait") {
                const { gate, waiting } = gateOf(name);
                waiting.resolve();
                await Promise.race([
                  gate.promise,
                  new Promise<never>((_, reject) =>
                    signal.addEventListener(
                      "abort",
                      () => reject(new CortenError("canceled", "context canceled")),
                      { once: true },
                    ),
                  ),
                ]);
              } else if (verb === "random") writeFileSync(join(directory, name), crypto.randomUUID());
              else writeFileSync(join(directory, argument), argument);
            }
          }),
        ),
    },
    files: {
      async contentKey(operation, execution) {
        const parts: unknown[] = [execution.inputs[operation.base ?? -1]?.key ?? ""];
        for (const action of operation.actions)
          if (action.action === "copy")
            parts.push(action.destination, await read(execution.inputs[action.input]!, action.sources[0]!));
        return digestOf(parts);
      },
      execute: (operation, execution) =>
        execute(execution.vertex.name, () =>
          commit(execution, layersOf(execution.inputs[operation.base ?? -1]), async (directory) => {
            for (const action of operation.actions)
              if (action.action === "copy")
                writeFileSync(
                  join(directory, action.destination),
                  await read(execution.inputs[action.input]!, action.sources[0]!),
                );
          }),
        ),
    },
    merge: {
      execute: (_operation, execution) =>
        execute(execution.vertex.name, async () => {
          const [base, ...others] = execution.inputs;
          const files: Record<string, string> = {};
          for (const other of others) Object.assign(files, await all(layersOf(other)));
          return commit(execution, layersOf(base), (directory) => {
            for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
          });
        }),
    },
    image: {
      execute: (operation, execution) =>
        execute(execution.vertex.name, async () => {
          const name = `image-${operation.manifest}`;
          const key = digestOf(name);
          const layers = [{ snapshot: name, diffId: operation.manifest }];
          const { client } = execution;
          const there = await client.snapshots.stat({ snapshotter, key: name }).catch(() => undefined);
          if (there) return { kind: "layers", key, layers };
          const making = `making-${name}`;
          const { mounts } = await client.snapshots.prepare({ snapshotter, key: making });
          await withMounts(mounts, (directory) =>
            writeFileSync(join(directory, "image"), operation.reference),
          );
          await client.snapshots.commit({ snapshotter, key: making, name });
          return { kind: "layers", key, layers };
        }),
    },
    local: {
      execute: (operation, execution) =>
        execute(execution.vertex.name, async () => {
          const opened = await execution.request.contexts.open(operation.name, {
            exclude: operation.exclude,
            signal: execution.signal,
          });
          execution.defer("close the context", () => opened.close());
          return {
            kind: "directory",
            key: digestOf(["local", execution.request.id, operation.name]),
            path: opened.path,
            exclude: operation.exclude,
          };
        }),
    },
    git: {
      contentKey: async (operation) => digestOf(["commit", operation.url, heads.get(operation.url)]),
      execute: (operation, execution) =>
        execute(execution.vertex.name, () =>
          commit(execution, [], (directory) =>
            writeFileSync(join(directory, "commit"), heads.get(operation.url) ?? ""),
          ),
        ),
    },
    http: {
      execute: (operation, execution) =>
        execute(execution.vertex.name, async () => {
          const made = await commit(execution, [], (directory) =>
            writeFileSync(join(directory, operation.filename), heads.get(operation.url) ?? ""),
          );
          return { ...made, key: digestOf(["http", heads.get(operation.url)]) };
        }),
    },
  };

  async function all(layers: readonly Layer[]): Promise<Record<string, string>> {
    const parent = layers.at(-1)?.snapshot;
    if (parent === undefined) return {};
    const key = `look-${process.pid}-${number++}`;
    // Nothing else keeps it from a collector that runs meanwhile.
    const labels = { "containerd.io/gc.root": new Date().toISOString() };
    const { mounts } = await client.snapshots.view({ snapshotter, key, parent, labels });
    try {
      return await withMounts(mounts, (directory) =>
        Object.fromEntries(
          readdirSync(directory)
            .sort()
            .map((name) => [name, readFileSync(join(directory, name), "utf8")]),
        ),
      );
    } finally {
      await client.snapshots.remove({ snapshotter, key });
    }
  }
  const read = async (result: Result, name: string): Promise<string> =>
    result.kind === "directory"
      ? readFileSync(join(result.path, name), "utf8")
      : ((await all(result.layers))[name] ?? "");

  const unused = (what: string) => () => {
    throw new Error(`this test has no ${what}`);
  };
  return {
    root,
    get client() {
      return client;
    },
    get services(): BuildServices {
      return {
        client,
        snapshotter,
        root: join(root, "build"),
        execRoot: join(root, "exec"),
        images: { resolve: unused("images") },
        network: { open: unused("network") },
        stdio: { open: unused("stdio"), discard: unused("stdio") },
        spec: unused("spec"),
        cgroupParent: "",
        ...(options.parallelism === undefined ? {} : { parallelism: options.parallelism }),
      };
    },
    executors,
    executed,
    most: () => most,
    gate: (name) => gateOf(name).gate,
    waiting: (name) => gateOf(name).waiting.promise,
    async restart() {
      await daemon?.close();
      await open();
    },
    request(change = {}) {
      const progress = new Recorder();
      return {
        id: `build-${number++}`,
        contexts: {
          open: unused("context"),
          read: unused("context"),
          has: () => false,
        },
        buildArgs: {},
        labels: {},
        platforms: [],
        noCache: false,
        noCacheFilter: [],
        pull: false,
        namedContexts: {},
        extraHosts: [],
        network: "default",
        ulimits: [],
        entitlements: [],
        secrets: { get: async () => undefined },
        ssh: { open: async () => undefined },
        auth: async () => undefined,
        outputs: [],
        cacheFrom: [],
        cacheTo: [],
        attestations: {},
        tags: [],
        signal: new AbortController().signal,
        ...change,
        progress: (change.progress as Recorder | undefined) ?? progress,
      };
    },
    read: all,
    async snapshots() {
      const found: string[] = [];
      for await (const { info } of client.snapshots.list({ snapshotter }))
        found.push(...info.map(({ name }) => name));
      return found.sort();
    },
    async leases() {
      return (await client.leases.list({})).leases.map(({ id }) => id).sort();
    },
    async collect() {
      await client.leases.create({ id: "collect" });
      await client.leases.delete({ id: "collect", sync: true });
    },
    async [Symbol.asyncDispose]() {
      await daemon?.close();
      if (options.root === undefined) rmSync(root, { recursive: true, force: true });
    },
  };
}

/** What the fake git and http servers have, by URL. */
export const heads = new Map<string, string>();

/** Vertices in short. */
export const make = {
  image: (reference = "base") =>
    vertex({ kind: "image", reference, manifest: digestOf(reference), platform }, [], {
      name: `FROM ${reference}`,
      platform,
    }),
  local: (name = "context") =>
    vertex({ kind: "local", name, exclude: [] }, [], { name: `load ${name}`, platform }),
  run: (base: Vertex | undefined, args: string[], more: { ignoreCache?: boolean; line?: number } = {}) =>
    of(
      {
        kind: "run",
        ...(base ? { base: 0 } : {}),
        args,
        env: [],
        cwd: "/",
        user: "",
        mounts: [],
        network: "default",
        security: "sandbox",
        extraHosts: [],
      },
      base ? [base] : [],
      `RUN ${args.join(" ")}`,
      more,
    ),
  copy: (
    base: Vertex | undefined,
    from: Vertex,
    source: string,
    destination: string,
    more: { ignoreCache?: boolean; line?: number } = {},
  ) =>
    of(
      {
        kind: "files",
        ...(base ? { base: 0 } : {}),
        actions: [{ action: "copy", input: base ? 1 : 0, sources: [source], destination }],
      },
      base ? [base, from] : [from],
      `COPY ${source} ${destination}`,
      more,
    ),
  merge: (...inputs: Vertex[]) => of({ kind: "merge" }, inputs, "MERGE"),
  git: (url: string, ref = "main") =>
    of({ kind: "git", url, ref, keepGitDir: false }, [], `GIT ${url}#${ref}`),
  http: (url: string, filename = "file") => of({ kind: "http", url, filename }, [], `HTTP ${url}`),
};

function of(
  operation: Operation,
  inputs: readonly Vertex[],
  name: string,
  more: { ignoreCache?: boolean; line?: number } = {},
): Vertex {
  const { ignoreCache = false, line } = more;
  const place = line === undefined ? [] : [at(line)];
  return vertex(operation, inputs, { name, platform, ignoreCache, ranges: place });
}

const at = (line: number) => ({ start: { line, character: 0 }, end: { line, character: 0 } });

/** Parts of a builder: the graph that the build's target names, and an export that only says what there is. */
export function partsOf(world: World, graphs: Record<string, () => readonly Vertex[]>): TestParts {
  const told: string[] = [];
  return {
    told,
    executors: world.executors,
    async compile(request) {
      told.push(`compile ${request.target}`);
      return {
        filename: "Dockerfile",
        text: "FROM base\nRUN step\n",
        targets: (graphs[request.target ?? ""]?.() ?? []).map((vertex) => ({
          platform,
          vertex,
          config: { architecture: "amd64", os: "linux", rootfs: { type: "layers" as const, diff_ids: [] } },
          history: [],
          ignoreCache: false,
        })),
        warnings: [],
        unusedBuildArgs: [],
        inlineCache: false,
        materials: [],
        ...(request.check ? { call: { "result.txt": "fine" } } : {}),
      };
    },
    async exportResult(input, request) {
      told.push(`export ${request.target}`);
      const layers = input.targets.map(({ result }) => result?.layers.map(({ snapshot }) => snapshot) ?? []);
      return { response: { layers: JSON.stringify(layers) } };
    },
    async exportCache(spec, records) {
      told.push(`cache to ${spec.type}`);
      return { records: String(records.length) };
    },
    async importCache(spec) {
      told.push(`cache from ${spec.type}`);
      if (spec.type === "registry") throw new Error("no such registry");
      return undefined;
    },
    readFile: async () => undefined,
    pruneSources,
    withLayouts: (images) => images,
    async sweep() {
      told.push("sweep");
    },
  };
}

export type TestParts = Parts & { told: string[] };

/** Opens the world's cache. */
export const openCache = (world: World): Promise<Cache> => Cache.open(world.services);
