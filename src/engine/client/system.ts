import type {
  AuthConfig,
  AuthResponse,
  CreateContainerRequest,
  DiskUsage,
  EventMessage,
  ExplainResponse,
  PruneBuildCacheResponse,
  SystemInfo,
  TraceResponse,
  VersionResponse,
} from "../types.ts";
import { jsonLines } from "./streams.ts";
import { encodeFilters, type Filters, type Transport } from "./transport.ts";

export interface PingResult {
  apiVersion: string;
  osType: string;
  builderVersion: string;
  experimental: boolean;
}

/** Calls about the daemon itself. */
export class System {
  readonly #transport: Transport;
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async ping(): Promise<PingResult> {
    const answer = await this.#transport.call("HEAD", "/_ping", { versioned: false });
    for await (const _ of answer.body);
    return {
      apiVersion: answer.headers.get("api-version") ?? "",
      osType: answer.headers.get("ostype") ?? "",
      builderVersion: answer.headers.get("builder-version") ?? "",
      experimental: answer.headers.get("docker-experimental") === "true",
    };
  }

  version(): Promise<VersionResponse> {
    return this.#transport.json("GET", "/version");
  }

  info(): Promise<SystemInfo> {
    return this.#transport.json("GET", "/info");
  }

  diskUsage(): Promise<DiskUsage> {
    return this.#transport.json("GET", "/system/df");
  }

  async *events(options: {
    since?: string;
    until?: string;
    filters?: Filters;
    signal?: AbortSignal;
  }): AsyncGenerator<EventMessage> {
    const query = { since: options.since, until: options.until, filters: encodeFilters(options.filters) };
    const answer = await this.#transport.call("GET", "/events", {
      query,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    yield* jsonLines<EventMessage>(answer.body);
  }

  auth(body: AuthConfig): Promise<AuthResponse> {
    return this.#transport.json("POST", "/auth", { json: body });
  }

  pruneBuildCache(
    options: {
      all?: boolean;
      filters?: Filters;
      /** Bytes; 0 is not said. */
      keepStorage?: number;
      maxUsedSpace?: number;
      minFreeSpace?: number;
    } = {},
  ): Promise<PruneBuildCacheResponse> {
    const query = {
      all: options.all || undefined,
      filters: encodeFilters(options.filters),
      // Daemons before API 1.48 know only the first name.
      "keep-storage": options.keepStorage || undefined,
      "reserved-space": options.keepStorage || undefined,
      "max-used-space": options.maxUsedSpace || undefined,
      "min-free-space": options.minFreeSpace || undefined,
    };
    return this.#transport.json("POST", "/build/prune", { query });
  }

  /** Corten's own: the recorded spans of a trace. */
  trace(traceId: string): Promise<TraceResponse> {
    return this.#transport.json("GET", `/corten/traces/${traceId}`, { versioned: false });
  }

  /** Corten's own: what creating and starting this container would do, without doing it. */
  explain(
    body: CreateContainerRequest,
    options: { name?: string; platform?: string } = {},
  ): Promise<ExplainResponse> {
    const query = { name: options.name || undefined, platform: options.platform || undefined };
    return this.#transport.json("POST", "/corten/explain", { json: body, query, versioned: false });
  }
}
