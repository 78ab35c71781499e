/** One build's evaluation of its graph: keys first, then what the cache does not have. */
import { Cleanup } from "../../base/cleanup.ts";
import { asCortenError, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Uses } from "../cache/index.ts";
import type { CacheRecord, ImportedRecord } from "../export/index.ts";
import type { Vertex } from "../graph.ts";
import type { Result } from "../types.ts";
import { SolveError } from "./error.ts";
import { Executions, type RunKeys } from "./executions.ts";
import { contentKey, freshKey, inputKey, isPinned, isSource, keyOnlyInput } from "./keys.ts";
import { fromStore, type Node, skip } from "./node.ts";
import { exportedRecords } from "./records.ts";
import { canceled } from "./slots.ts";
import type { Evaluated, Job, JobOptions, Keys, Shared, SourceText } from "./types.ts";
import { VertexReport } from "./vertex-report.ts";

/** How often a step is tried while the files that it copies are being changed. */
const maxAttempts = 3;

export class BuildJob implements Job {
  readonly #shared: Shared;
  readonly #options: JobOptions;
  readonly #nodes = new Map<string, Node>();
  readonly #nodeOf = new Map<Vertex, Node>();
  readonly #uses: Uses;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #executions: Executions;
  readonly #deferred = new Cleanup();
  #failure: { error: unknown; vertex: Vertex } | undefined;
  #settled: Promise<void> | undefined;

  constructor(shared: Shared, options: JobOptions) {
    this.#shared = shared;
    this.#options = options;
    this.#uses = shared.cache.uses();
    this.#signal = AbortSignal.any([options.request.signal, this.#abort.signal]);
    this.#executions = new Executions(shared, options, {
      uses: this.#uses,
      signal: this.#signal,
      deferred: this.#deferred,
    });
  }

  async solve(vertices: readonly Vertex[], source?: SourceText): Promise<Result[]> {
    const nodes = vertices.map((vertex) => this.#node(vertex));
    for (const node of this.#nodes.values()) node.report.announce();
    try {
      const evaluated = await Promise.all(nodes.map((node) => this.#evaluate(node)));
      return evaluated.map(({ result }) => result);
    } catch (error) {
      const failure = this.#failure;
      this.#abort.abort(canceled());
      if (this.#options.request.signal.aborted || !failure) throw new SolveError(error);
      throw new SolveError(failure.error, failure.vertex, source);
    }
  }

  records(vertices: readonly Vertex[]): CacheRecord[] {
    return exportedRecords(
      vertices.map((vertex) => this.#node(vertex)),
      this.#shared.cache,
      this.#uses,
    );
  }

  async close(): Promise<boolean> {
    this.#abort.abort(canceled());
    await Promise.all(
      [...this.#executions.begun].filter((work) => work.signal.aborted).map((work) => work.settled),
    );
    const alone = this.#executions.begun.size === 0;
    this.#settled ??= this.#finish();
    if (alone) await this.#settled;
    return alone;
  }

  async #finish(): Promise<void> {
    await Promise.all([...this.#executions.begun].map((work) => work.settled));
    await this.#deferred[Symbol.asyncDispose]();
    this.#uses[Symbol.dispose]();
  }

  get settled(): Promise<void> {
    return this.#settled ?? Promise.reject(new Error("the build's job is not closed"));
  }

  #node(vertex: Vertex): Node {
    const known = this.#nodeOf.get(vertex);
    if (known) return known;
    const inputs = vertex.inputs.map((input) => this.#node(input));
    const fresh = vertex.ignoreCache || inputs.some((input) => input.fresh);
    const name = `${vertex.digest} ${vertex.ignoreCache} ${fresh}`;
    let node = this.#nodes.get(name);
    if (!node) {
      const report = new VertexReport(vertex, this.#options.request.progress);
      node = { vertex, inputs, fresh, report };
      this.#nodes.set(name, node);
    }
    this.#nodeOf.set(vertex, node);
    return node;
  }

  /** What the vertex is called in the cache; looks at no more of its inputs than it takes. */
  #keys(node: Node): Promise<Keys> {
    node.keys ??= this.#findKeys(node).then((keys) => {
      node.key = keys.key;
      return keys;
    });
    node.keys.catch(() => {});
    return node.keys;
  }

  async #findKeys(node: Node): Promise<Keys> {
    const { vertex } = node;
    if (this.#isRenewed(node) || vertex.operation.kind === "local")
      return { key: (await this.#evaluate(node)).result.key, aliases: [] };
    if (!node.fresh && isPinned(vertex)) {
      const key = this.#resolve(vertex.digest);
      if (key !== undefined) return { key, aliases: [] };
    }
    const byDefinition = isPinned(vertex) ? [vertex.digest] : [];
    if (isSource(vertex)) {
      const content = await this.#contentKey(node);
      if (content === undefined) return { key: (await this.#evaluate(node)).result.key, aliases: [] };
      const own = contentKey(vertex, content);
      return { key: this.#resolve(own) ?? own, aliases: [...byDefinition, own] };
    }
    const inputs = await Promise.all(node.inputs.map((input) => this.#inputKey(input)));
    const fromInputs = inputKey(vertex, inputs);
    // A client's directory has no name that would mean the same in the next build.
    const lasting = node.inputs.every((input) => input.vertex.operation.kind !== "local");
    const aliases = lasting ? [...byDefinition, fromInputs] : byDefinition;
    const known = lasting ? this.#resolve(fromInputs) : undefined;
    if (known !== undefined) return { key: known, aliases };
    const content = await this.#contentKey(node);
    const own = content === undefined ? fromInputs : contentKey(vertex, content);
    return { key: this.#resolve(own) ?? own, aliases: [...aliases, own] };
  }

  /**
   * The key of an input. One that no cache has is begun at once: what is built on it cannot be there either, for a record
   * goes before those that it is built on.
   */
  async #inputKey(input: Node): Promise<Digest> {
    const { key } = await this.#keys(input);
    if (!isSource(input.vertex) && !this.#options.imports?.length && !this.#shared.cache.has(key))
      void this.#evaluate(input).catch(() => {});
    return key;
  }

  /** Made anew whatever the cache has. Images and directories are what they are. */
  #isRenewed({ vertex }: Node): boolean {
    const { kind } = vertex.operation;
    return vertex.ignoreCache && kind !== "image" && kind !== "local";
  }

  async #contentKey(node: Node): Promise<Digest | undefined> {
    const executor = this.#executions.executorOf(node.vertex.operation);
    if (!executor.contentKey) return undefined;
    const keyOnly = keyOnlyInput(node.vertex);
    const inputs = await Promise.all(
      node.inputs.map(async (input, index): Promise<Result> => {
        if (index === keyOnly && !input.found)
          return { kind: "layers", key: (await this.#keys(input)).key, layers: [] };
        return (await this.#evaluate(input)).result;
      }),
    );
    const execution = this.#executions.execution(
      node.vertex,
      inputs,
      this.#options.request.progress,
      this.#signal,
    );
    try {
      return await span("build", "content key", () =>
        executor.contentKey?.(node.vertex.operation, execution),
      );
    } catch (error) {
      throw this.#failed(node, error);
    }
  }

  /** The canonical key that our cache or an imported one knows. */
  #resolve(key: Digest): Digest | undefined {
    return this.#shared.cache.resolve(key) ?? this.#imported(key)?.key;
  }

  #imported(key: Digest): ImportedRecord | undefined {
    for (const cache of this.#options.imports ?? []) {
      const record = cache.lookup(key);
      if (record) return record;
    }
    return undefined;
  }

  #evaluate(node: Node): Promise<Evaluated> {
    if (!node.evaluated) {
      node.evaluated = this.#find(node).then((found) => {
        node.found = found;
        node.key = found.result.key;
        node.report.completed(found.cached);
        if (found.cached) skip(node.inputs);
        return found;
      });
      node.evaluated.catch((error) => this.#failed(node, error));
    }
    return node.evaluated;
  }

  /** Tells the vertex's end, and remembers the first failure as the build's. */
  #failed(node: Node, error: unknown): unknown {
    const known = this.#failure;
    // The failure of an input is not this one's.
    if (known && known.error === error && known.vertex !== node.vertex) return error;
    const { code } = asCortenError(error);
    if (!known && !(code === "canceled" && this.#signal.aborted)) {
      this.#failure = { error, vertex: node.vertex };
      node.report.failed(error);
      this.#abort.abort(canceled());
    } else if (known?.error !== error) node.report.canceled();
    return error;
  }

  async #find(node: Node): Promise<Evaluated> {
    if (this.#signal.aborted) throw canceled();
    const { vertex } = node;
    const { kind } = vertex.operation;
    if (kind === "local") return this.#run(node, `${this.#options.request.id} ${vertex.digest}`, undefined);
    if (kind === "image") return this.#image(node);
    if (this.#isRenewed(node)) return this.#renew(node);
    // A source without a key of its content is asked each time.
    if (isSource(vertex) && !this.#executions.executorOf(vertex.operation).contentKey)
      return this.#source(node);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#recall(node);
      } catch (error) {
        if (!isCode(error, "aborted") || attempt === maxAttempts || this.#signal.aborted) throw error;
        // Somebody wrote to the client's directory between a file's digest and its copy: what is there now counts.
        delete node.keys;
      }
    }
  }

  /** From our cache or an imported one, else made. */
  async #recall(node: Node): Promise<Evaluated> {
    const { vertex } = node;
    const { cache } = this.#shared;
    const keys = await this.#keys(node);
    const stored = await cache.find(keys.key, this.#uses);
    if (stored) {
      for (const alias of keys.aliases) cache.alias(alias, stored.key);
      return fromStore(stored, true);
    }
    const imported = this.#imported(keys.key);
    if (imported) {
      try {
        return await this.#executions.load(node, imported, keys);
      } catch (error) {
        if (this.#signal.aborted) throw error;
        // A cache that cannot be read is none.
        log.warn(`cannot load ${vertex.name} from an imported cache`, { error: messageOf(error) });
      }
    }
    return this.#run(node, keys.key, keys);
  }

  /** An image's layers are the image's to keep; what shares the work holds them, too. */
  async #image(node: Node): Promise<Evaluated> {
    const found = await this.#run(node, `image ${node.vertex.digest}`, undefined);
    const { client } = this.#options;
    const top = found.result.kind === "layers" ? found.result.layers.at(-1) : undefined;
    if (top && client.lease !== undefined)
      await client.leases.addResource({
        id: client.lease,
        resource: { id: top.snapshot, type: `snapshots/${this.#shared.services.snapshotter}` },
      });
    const content = this.#executions.executorOf(node.vertex.operation).contentKey
      ? (await this.#keys(node)).key
      : undefined;
    return content === undefined ? found : { ...found, result: { ...found.result, key: content } };
  }

  /** --no-cache: a result with a new name, to which all that led to the old one leads from now on. */
  async #renew(node: Node): Promise<Evaluated> {
    const { vertex } = node;
    const inputs = await Promise.all(node.inputs.map((input) => this.#evaluate(input)));
    const fromInputs = inputKey(
      vertex,
      inputs.map(({ result }) => result.key),
    );
    const aliases: Digest[] = isPinned(vertex) ? [vertex.digest] : [];
    if (inputs.every(({ result }) => result.kind !== "directory")) aliases.push(fromInputs);
    const content = await this.#contentKey(node);
    if (content !== undefined) aliases.push(contentKey(vertex, content));
    return this.#run(node, `fresh ${content ?? fromInputs}`, {
      key: freshKey(content ?? fromInputs),
      aliases,
    });
  }

  async #source(node: Node): Promise<Evaluated> {
    const { vertex } = node;
    const aliases = isPinned(vertex) ? [vertex.digest] : [];
    const key = isPinned(vertex) ? this.#shared.cache.resolve(vertex.digest) : undefined;
    const stored = key === undefined ? undefined : await this.#shared.cache.find(key, this.#uses);
    if (stored) return fromStore(stored, true);
    return this.#run(node, `source ${vertex.digest}`, { key: undefined, aliases });
  }

  /** Executes it, or waits for whoever does already. Without `keys` the result is not remembered. */
  async #run(node: Node, name: string, keys: RunKeys | undefined): Promise<Evaluated> {
    const inputs = await Promise.all(node.inputs.map((input) => this.#evaluate(input)));
    return this.#executions.run(
      node,
      inputs.map(({ result }) => result),
      name,
      keys,
    );
  }
}
