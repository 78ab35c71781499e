/** What a build executes: each step once, also for the builds beside it, and into the cache. */
import type { Cleanup } from "../../base/cleanup.ts";
import type { Digest } from "../../oci/digest.ts";
import type { RecordType, Uses } from "../cache/index.ts";
import type { ImportedRecord } from "../export/index.ts";
import type { Operation, Vertex } from "../graph.ts";
import type { Progress } from "../progress.ts";
import type { Execution, Executor, Result } from "../types.ts";
import { baseOf } from "./keys.ts";
import { fromStore, type Node } from "./node.ts";
import { canceled } from "./slots.ts";
import type { Evaluated, JobOptions, Keys, Shared } from "./types.ts";
import type { Watcher, Work } from "./work.ts";

/** Without a key, the result's own counts. */
export type RunKeys = { key: Digest | undefined; aliases: readonly Digest[] };

/** The executing part of one build's job. */
export class Executions {
  readonly #shared: Shared;
  readonly #options: JobOptions;
  readonly #uses: Uses;
  readonly #signal: AbortSignal;
  readonly #deferred: Cleanup;
  /** Begun for this build; others may wait for it as well. */
  readonly begun = new Set<Work<Evaluated>>();

  /** What others need of a result is in `uses`; `deferred` runs when all that was begun has ended. */
  constructor(
    shared: Shared,
    options: JobOptions,
    { uses, signal, deferred }: { uses: Uses; signal: AbortSignal; deferred: Cleanup },
  ) {
    this.#shared = shared;
    this.#options = options;
    this.#uses = uses;
    this.#signal = signal;
    this.#deferred = deferred;
  }

  /** Executes a vertex, or waits for whoever does already. Without `keys` the result is not remembered. */
  async run(
    node: Node,
    inputs: readonly Result[],
    name: string,
    keys: RunKeys | undefined,
  ): Promise<Evaluated> {
    const { cache, slots } = this.#shared;
    const { vertex } = node;
    return this.#share(node, name, async (work, _client, uses) => {
      // Somebody may have made it while our inputs were.
      const stored = keys?.key === undefined ? undefined : await cache.find(keys.key, uses);
      if (stored) return fromStore(stored, true);
      const execute = async () => {
        if (work.signal.aborted) throw canceled();
        work.start();
        const execution = this.execution(vertex, inputs, work.progress, work.signal);
        const result = await this.executorOf(vertex.operation).execute(vertex.operation, execution);
        return keys
          ? await this.#store(node, inputs, result, keys, uses)
          : { result, cached: result.kind === "layers" && result.known === true };
      };
      // A client's directory costs its time, not ours.
      return vertex.operation.kind === "local" ? execute() : slots.run(work.signal, execute);
    });
  }

  async #store(
    node: Node,
    inputs: readonly Result[],
    result: Result,
    keys: RunKeys,
    uses: Uses,
  ): Promise<Evaluated> {
    if (result.kind !== "layers") return { result, cached: false };
    const base = baseOf(node.vertex);
    const root = base === undefined ? undefined : inputs[base];
    const builtOn = node.vertex.operation.kind === "merge" ? inputs : root ? [root] : [];
    const stored = await this.#shared.cache.put(
      {
        ...this.#description(node),
        key: keys.key ?? result.key,
        aliases: keys.aliases,
        layers: result.layers,
        below: root?.kind === "layers" ? root.layers.length : 0,
        parents: builtOn.map(({ key }) => key),
      },
      uses,
    );
    return fromStore(stored, false);
  }

  /** The layers of a record of an imported cache. */
  load(node: Node, imported: ImportedRecord, keys: Keys): Promise<Evaluated> {
    const { cache } = this.#shared;
    return this.#share(node, keys.key, async (work, client, uses) => {
      const layers = await imported.load(client, work.signal);
      const stored = await cache.put(
        { ...this.#description(node), key: keys.key, aliases: keys.aliases, layers, below: 0, parents: [] },
        uses,
      );
      return fromStore(stored, true);
    });
  }

  async #share(
    node: Node,
    name: string,
    run: (work: Work<Evaluated>, client: JobOptions["client"], uses: Uses) => Promise<Evaluated>,
  ): Promise<Evaluated> {
    // What was made stays until all that wait have taken it over.
    const uses = this.#shared.cache.uses(false);
    const { work, begun } = this.#shared.work(name, node.vertex, (own) =>
      run(own, this.#options.client, uses),
    );
    if (begun) {
      this.begun.add(work);
      void work.settled.then(() => {
        uses[Symbol.dispose]();
        this.begun.delete(work);
      });
    }
    const watcher: Watcher<Evaluated> = {
      vertex: node.vertex,
      progress: this.#options.request.progress,
      take: ({ id }) => {
        if (id !== undefined) this.#uses.add(id);
      },
      onStarted: (at) => node.report.started(at),
    };
    return work.join(watcher, this.#signal);
  }

  #description({ vertex }: Node): { description: string; type: RecordType } {
    return {
      description: vertex.name,
      type: vertex.operation.kind === "git" ? "source.git.checkout" : "regular",
    };
  }

  /** What an executor is given. */
  execution(vertex: Vertex, inputs: readonly Result[], progress: Progress, signal: AbortSignal): Execution {
    const { services, cache } = this.#shared;
    const { client, request } = this.#options;
    return {
      vertex,
      client,
      snapshotter: services.snapshotter,
      inputs,
      progress,
      signal,
      request,
      services,
      caches: cache,
      defer: (what, undo) => this.#deferred.add(what, undo),
    };
  }

  executorOf(operation: Operation): Executor<Operation> {
    return this.#shared.executors[operation.kind] as Executor<Operation>;
  }
}
