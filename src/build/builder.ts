import { mkdirSync } from "node:fs";
import { type Deferred, deferred } from "../base/async.ts";
import { Cleanup } from "../base/cleanup.ts";
import { CortenError, conflict, isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { span } from "../base/trace.ts";
import { type ContainerdClient, dropDeadLeases, withLease } from "../containerd/client/index.ts";
import {
  Cache,
  defaultPolicy,
  type PruneOptions,
  type PruneResult,
  type UsageRecord,
} from "./cache/index.ts";
import type { ExportContext, ImportedCache } from "./export/index.ts";
import type { Compiled } from "./frontend/types.ts";
import { isHermetic, materialsOf } from "./materials.ts";
import { loadParts, type Parts } from "./parts.ts";
import { type Job, SolveError, Solver } from "./solver/index.ts";
import type { BuildRequest, BuildResult, BuildServices, ExporterInput, SourceReader } from "./types.ts";

export interface BuilderOptions {
  /** What the cache is trimmed to after builds; default `defaultPolicy`, none keeps everything. */
  policy?: readonly PruneOptions[];
  parts?: Parts;
}

/** Builds of one daemon, from a request to its result. */
export class Builder {
  readonly #services: BuildServices;
  readonly #parts: Parts;
  readonly #cache: Cache;
  readonly #solver: Solver;
  readonly #policy: readonly PruneOptions[];
  readonly #running = new Map<string, AbortController>();
  /** Builds whose result is out, or that were given up, and that other builds still make use of. */
  readonly #ending = new Set<Promise<void>>();
  #collecting: Promise<void> | undefined;
  #closed = false;

  private constructor(services: BuildServices, parts: Parts, cache: Cache, options: BuilderOptions) {
    this.#services = services;
    this.#parts = parts;
    this.#cache = cache;
    this.#solver = new Solver(services, cache, parts.executors);
    this.#policy = options.policy ?? defaultPolicy(services.root);
  }

  /** Opens the cache below `services.root`, and removes what builds of a killed daemon left half done. */
  static async open(services: BuildServices, options: BuilderOptions = {}): Promise<Builder> {
    mkdirSync(services.root, { recursive: true, mode: 0o700 });
    await using undo = new Cleanup();
    const parts = options.parts ?? (await loadParts());
    await parts.sweep(services);
    // A containerd that outlived us still holds what our builds had begun.
    await dropDeadLeases(services.client);
    const cache = await Cache.open(services);
    undo.add("close build cache", () => cache.close());
    const builder = new Builder(services, parts, cache, options);
    undo.release();
    return builder;
  }

  /**
   * Runs a build. When it fails or is cancelled, nothing of it is left by the time this rejects, except for steps that
   * other builds wait for, which go on.
   */
  async build(request: BuildRequest): Promise<BuildResult> {
    if (this.#closed) throw new CortenError("unavailable", "the builder is closing");
    if (this.#running.has(request.id)) throw conflict(`a build with id ${request.id} is running`);
    const abort = new AbortController();
    this.#running.set(request.id, abort);
    const own = { ...request, signal: AbortSignal.any([request.signal, abort.signal]) };
    const answer = deferred<BuildResult>();
    const ending: Promise<void> = this.#hold(own, answer).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
    try {
      return await answer.promise;
    } catch (error) {
      throw own.signal.aborted ? canceledBuild(error) : error;
    } finally {
      this.#running.delete(request.id);
      this.#collectSoon();
    }
  }

  /**
   * Settles `answer`, as the last thing of a build that is alone; the lease outlives the answer when another build
   * waits for a step that was begun under it.
   */
  async #hold(request: BuildRequest, answer: Deferred<BuildResult>): Promise<void> {
    let settle: () => void = () => {};
    try {
      await withLease(this.#services.client, async (client) => {
        const jobs: Job[] = [];
        try {
          const result = await span("build", "build", () => this.#run(request, client, jobs));
          settle = () => answer.resolve(result);
        } catch (error) {
          settle = () => answer.reject(error);
        }
        const alone = await Promise.all(jobs.map((job) => job.close()));
        if (!alone.every(Boolean)) settle();
        await Promise.all(jobs.map((job) => job.settled));
      });
    } catch (error) {
      answer.reject(error);
    }
    settle();
  }

  async #run(request: BuildRequest, client: ContainerdClient, jobs: Job[]): Promise<BuildResult> {
    const startedAt = new Date();
    const begin = (imports: readonly ImportedCache[]): Job => {
      const job = this.#solver.job({ request, client, imports });
      jobs.push(job);
      return job;
    };
    const first = begin([]);
    const compiled = await span("build", "compile", () =>
      this.#parts.compile(request, {
        images: this.#parts.withLayouts(this.#services.images, request, client),
        sources: this.#sourceReader(first, client),
      }),
    );
    throwIfAborted(request);
    request.onCompiled?.(compiled);
    if (compiled.call) return { response: { ...compiled.call } };
    const imports = await this.#imports(request, client);
    const job = imports.length === 0 ? first : begin(imports);
    const input = await this.#solve(job, compiled);
    throwIfAborted(request);
    return this.#export(job, compiled, input, request, client, startedAt);
  }

  #sourceReader(job: Job, client: ContainerdClient): SourceReader {
    const { snapshotter } = this.#services;
    return {
      readFile: async (source, path, limit, options = {}) => {
        const [result] = await job.solve([source]);
        return result && this.#parts.readFile(result, path, limit, { client, snapshotter, ...options });
      },
    };
  }

  async #imports(request: BuildRequest, client: ContainerdClient): Promise<ImportedCache[]> {
    const services = this.#services;
    const context = { client, snapshotter: services.snapshotter, services };
    const found = await Promise.all(
      request.cacheFrom.map(async (spec) => {
        try {
          return await this.#parts.importCache(spec, request, context);
        } catch (error) {
          throwIfAborted(request);
          // A build without it is slower, not wrong.
          log.warn("cannot import a build cache", { type: spec.type, error: messageOf(error) });
          return undefined;
        }
      }),
    );
    return found.filter((one) => one !== undefined);
  }

  async #solve(job: Job, compiled: Compiled): Promise<ExporterInput> {
    const { targets, filename, text } = compiled;
    const vertices = targets.flatMap(({ vertex }) => vertex ?? []);
    const results = await span("build", "solve", () => job.solve(vertices, { filename, text }));
    return {
      targets: targets.map((target) => {
        const result = target.vertex && results[vertices.indexOf(target.vertex)];
        if (result?.kind === "directory")
          throw new SolveError(new Error("a client's directory is no image"), target.vertex, {
            filename,
            text,
          });
        return { target, result };
      }),
    };
  }

  async #export(
    job: Job,
    compiled: Compiled,
    input: ExporterInput,
    request: BuildRequest,
    client: ContainerdClient,
    startedAt: Date,
  ): Promise<BuildResult> {
    const services = this.#services;
    const { filename, text, sourceDateEpoch } = compiled;
    const vertices = compiled.targets.flatMap(({ vertex }) => vertex ?? []);
    const records = () => job.records(vertices);
    const inline = compiled.inlineCache || request.cacheTo.some(({ type }) => type === "inline");
    const context: ExportContext = {
      client,
      snapshotter: services.snapshotter,
      services,
      layers: this.#cache,
      provenance: {
        startedAt,
        materials: materialsOf(compiled),
        source: { filename, data: new TextEncoder().encode(text), language: "Dockerfile" },
        hermetic: isHermetic(compiled),
      },
      ...(inline ? { inlineCache: records() } : {}),
    };
    const timed = sourceDateEpoch === undefined ? request : { ...request, sourceDateEpoch };
    const result = await span("build", "export", () => this.#parts.exportResult(input, timed, context));
    for (const spec of request.cacheTo) {
      if (spec.type === "inline") continue;
      throwIfAborted(request);
      // Anew each time: the exporters have come to know blobs meanwhile.
      Object.assign(result.response, await this.#parts.exportCache(spec, records(), timed, context));
    }
    return result;
  }

  /** False when no such build runs. */
  cancel(id: string): boolean {
    const abort = this.#running.get(id);
    abort?.abort(new CortenError("canceled", "context canceled"));
    return abort !== undefined;
  }

  /** `all` without filters also forgets what sources were fetched from, unless a build may be fetching. */
  async prune(options: PruneOptions): Promise<PruneResult> {
    const { ids, spaceReclaimed } = await this.#cache.prune(options);
    const everything = options.all && Object.keys(options.filters ?? {}).length === 0 && !options.matches;
    if (!everything || this.#running.size > 0) return { ids, spaceReclaimed };
    return { ids, spaceReclaimed: spaceReclaimed + (await this.#parts.pruneSources(this.#services.root)) };
  }

  usage(): Promise<UsageRecord[]> {
    return this.#cache.usage();
  }

  /** Trims the cache when no build has ended for a while: it looks at every snapshot. */
  #collectSoon(): void {
    if (this.#policy.length === 0 || this.#collecting || this.#closed) return;
    this.#collecting = new Promise<void>((go) => setTimeout(go, collectDelay).unref())
      .then(() => (this.#closed ? undefined : this.#cache.collect(this.#policy)))
      .catch((error) => log.warn("cannot trim the build cache", { error: messageOf(error) }))
      .finally(() => {
        this.#collecting = undefined;
      });
  }

  /** Cancels what runs, waits for its end, and closes the cache. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const id of this.#running.keys()) this.cancel(id);
    await Promise.all(this.#ending);
    await this.#cache.close();
  }
}

const collectDelay = 10_000;

function throwIfAborted({ signal }: BuildRequest): void {
  if (signal.aborted) throw new CortenError("canceled", "context canceled");
}

/** What went wrong because the build was given up is not why it failed. */
function canceledBuild(error: unknown): CortenError {
  return isCode(error, "canceled")
    ? (error as CortenError)
    : new SolveError(new CortenError("canceled", "context canceled", { cause: error }));
}
