import type {
  Checkpoint,
  ContainerInspect,
  ContainerStats,
  ContainerSummary,
  CreateCheckpointRequest,
  CreateContainerRequest,
  CreateContainerResponse,
  FilesystemChange,
  PathStat,
  PruneContainersResponse,
  TopResponse,
  UpdateContainerRequest,
  UpdateContainerResponse,
  WaitCondition,
  WaitResponse,
} from "../types.ts";
import { firstJson, jsonLines } from "./streams.ts";
import {
  type Answer,
  encodeFilters,
  type Filters,
  type HijackedStream,
  type Transport,
} from "./transport.ts";

const at = (id: string, verb: string) => `/containers/${encodeURIComponent(id)}${verb}`;

export interface AttachOptions {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  logs?: boolean;
  detachKeys?: string;
}

export interface LogsOptions {
  stdout?: boolean;
  stderr?: boolean;
  since?: string;
  until?: string;
  timestamps?: boolean;
  follow?: boolean;
  tail?: string;
  details?: boolean;
  signal?: AbortSignal;
}

/** Calls under `/containers`. */
export class Containers {
  readonly #transport: Transport;
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  create(
    body: CreateContainerRequest,
    options: { name?: string; platform?: string } = {},
  ): Promise<CreateContainerResponse> {
    const query = { name: options.name || undefined, platform: options.platform || undefined };
    return this.#transport.json("POST", "/containers/create", { json: body, query });
  }

  /** True when it was started, false when it already ran (304). */
  async start(
    id: string,
    options: { detachKeys?: string; checkpoint?: string; checkpointDir?: string } = {},
  ): Promise<boolean> {
    const query = {
      detachKeys: options.detachKeys,
      checkpoint: options.checkpoint || undefined,
      "checkpoint-dir": options.checkpointDir || undefined,
    };
    return (await this.#transport.run("POST", at(id, "/start"), { query })) !== 304;
  }

  async createCheckpoint(id: string, body: CreateCheckpointRequest): Promise<void> {
    await this.#transport.run("POST", at(id, "/checkpoints"), { json: body });
  }

  checkpoints(id: string, directory = ""): Promise<Checkpoint[]> {
    return this.#transport.json("GET", at(id, "/checkpoints"), { query: { dir: directory || undefined } });
  }

  async removeCheckpoint(id: string, name: string, directory = ""): Promise<void> {
    await this.#transport.run("DELETE", at(id, `/checkpoints/${encodeURIComponent(name)}`), {
      query: { dir: directory || undefined },
    });
  }

  async stop(id: string, options: { timeout?: number; signal?: string } = {}): Promise<boolean> {
    const query = { t: options.timeout, signal: options.signal || undefined };
    return (await this.#transport.run("POST", at(id, "/stop"), { query })) !== 304;
  }

  async restart(id: string, options: { timeout?: number; signal?: string } = {}): Promise<void> {
    const query = { t: options.timeout, signal: options.signal || undefined };
    await this.#transport.run("POST", at(id, "/restart"), { query });
  }

  async kill(id: string, signal?: string): Promise<void> {
    await this.#transport.run("POST", at(id, "/kill"), { query: { signal } });
  }

  async pause(id: string): Promise<void> {
    await this.#transport.run("POST", at(id, "/pause"));
  }

  async unpause(id: string): Promise<void> {
    await this.#transport.run("POST", at(id, "/unpause"));
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#transport.run("POST", at(id, "/rename"), { query: { name } });
  }

  async resize(id: string, rows: number, columns: number): Promise<void> {
    await this.#transport.run("POST", at(id, "/resize"), { query: { h: rows, w: columns } });
  }

  async remove(
    id: string,
    options: { force?: boolean; volumes?: boolean; link?: boolean } = {},
  ): Promise<void> {
    const query = {
      force: options.force || undefined,
      v: options.volumes || undefined,
      link: options.link || undefined,
    };
    await this.#transport.run("DELETE", at(id, ""), { query });
  }

  update(id: string, body: UpdateContainerRequest): Promise<UpdateContainerResponse> {
    return this.#transport.json("POST", at(id, "/update"), { json: body });
  }

  async inspect(id: string, size = false): Promise<ContainerInspect> {
    return JSON.parse((await this.inspectRaw(id, size)).toString()) as ContainerInspect;
  }

  /** The JSON as the daemon wrote it: key order and unknown fields are kept. */
  inspectRaw(id: string, size = false): Promise<Buffer> {
    return this.#transport.raw("GET", at(id, "/json"), { query: { size: size || undefined } });
  }

  list(
    options: { all?: boolean; limit?: number; size?: boolean; filters?: Filters } = {},
  ): Promise<ContainerSummary[]> {
    const query = {
      all: options.all || undefined,
      limit: options.limit !== undefined && options.limit > 0 ? options.limit : undefined,
      size: options.size || undefined,
      filters: encodeFilters(options.filters),
    };
    return this.#transport.json("GET", "/containers/json", { query });
  }

  top(id: string, psArgs?: string): Promise<TopResponse> {
    return this.#transport.json("GET", at(id, "/top"), { query: { ps_args: psArgs || undefined } });
  }

  /** An image of what the container has become. */
  commit(
    container: string,
    options: {
      repo: string;
      tag: string;
      author: string;
      comment: string;
      changes: readonly string[];
      pause: boolean;
    },
  ): Promise<{ Id: string }> {
    const { repo, tag, author, comment, changes, pause } = options;
    return this.#transport.json("POST", "/commit", {
      query: {
        container,
        repo: repo || undefined,
        tag: tag || undefined,
        comment: comment || undefined,
        author: author || undefined,
        changes,
        pause: pause ? undefined : "0",
      },
      json: null,
    });
  }

  changes(id: string): Promise<FilesystemChange[] | null> {
    return this.#transport.json("GET", at(id, "/changes"));
  }

  /**
   * Resolves when the daemon has taken the request (its headers are there before the exit), with a promise of the exit.
   * That is what lets a `start` be sent afterwards without missing a short life.
   */
  async wait(
    id: string,
    condition?: WaitCondition,
    signal?: AbortSignal,
  ): Promise<{ exited: Promise<WaitResponse> }> {
    const answer = await this.#transport.call("POST", at(id, "/wait"), {
      query: { condition },
      ...(signal ? { signal } : {}),
    });
    const exited = firstJson<WaitResponse>(answer.body).then((result) => {
      if (!result) throw new Error("the daemon closed the wait without an answer");
      return result;
    });
    exited.catch(() => {});
    return { exited };
  }

  attach(id: string, options: AttachOptions): Promise<HijackedStream> {
    const query = {
      stream: true,
      stdin: options.stdin || undefined,
      stdout: options.stdout || undefined,
      stderr: options.stderr || undefined,
      logs: options.logs || undefined,
      detachKeys: options.detachKeys || undefined,
    };
    return this.#transport.hijack(at(id, "/attach"), { query, headers: { "Content-Type": "text/plain" } });
  }

  logs(id: string, options: LogsOptions): Promise<Answer> {
    const query = {
      stdout: options.stdout || undefined,
      stderr: options.stderr || undefined,
      since: options.since,
      until: options.until,
      timestamps: options.timestamps || undefined,
      follow: options.follow || undefined,
      details: options.details || undefined,
      tail: options.tail,
    };
    return this.#transport.call("GET", at(id, "/logs"), {
      query,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  async *stats(
    id: string,
    options: { stream: boolean; oneShot?: boolean; signal?: AbortSignal },
  ): AsyncGenerator<ContainerStats> {
    const query = { stream: options.stream, "one-shot": options.oneShot || undefined };
    const answer = await this.#transport.call("GET", at(id, "/stats"), {
      query,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    yield* jsonLines<ContainerStats>(answer.body);
  }

  async statPath(id: string, path: string): Promise<PathStat> {
    const answer = await this.#transport.call("HEAD", at(id, "/archive"), { query: { path } });
    for await (const _ of answer.body);
    return pathStatOf(answer);
  }

  /** A tar of the path. */
  async readArchive(id: string, path: string): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }> {
    const answer = await this.#transport.call("GET", at(id, "/archive"), { query: { path } });
    return { stat: pathStatOf(answer), tar: answer.body };
  }

  async writeArchive(
    id: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: { overwriteDirWithFile?: boolean; copyUidGid?: boolean } = {},
  ): Promise<void> {
    const query = {
      path,
      noOverwriteDirNonDir: options.overwriteDirWithFile ? undefined : "true",
      copyUIDGID: options.copyUidGid ? "true" : undefined,
    };
    await this.#transport.run("PUT", at(id, "/archive"), {
      query,
      body: tar,
      headers: { "Content-Type": "application/x-tar" },
    });
  }

  export(id: string): Promise<Answer> {
    return this.#transport.call("GET", at(id, "/export"));
  }

  prune(filters?: Filters): Promise<PruneContainersResponse> {
    return this.#transport.json("POST", "/containers/prune", { query: { filters: encodeFilters(filters) } });
  }
}

function pathStatOf(answer: Answer): PathStat {
  const header = answer.headers.get("x-docker-container-path-stat") ?? "";
  return JSON.parse(Buffer.from(header, "base64").toString()) as PathStat;
}
