/** What is known of a running build: the messages of the daemon, put together by vertex. */
import type { BuildStatus } from "../../engine/types.ts";

export interface StatusLine {
  id: string;
  name: string;
  current: number;
  total: number;
  started?: number;
  completed?: number;
}

export interface LogLine {
  /** Seconds since the vertex began. */
  at: number;
  text: string;
}

export interface VertexState {
  /** From 1, in the order they were heard of; shown as `#1`. */
  index: number;
  digest: string;
  name: string;
  /** Milliseconds since 1970. */
  started?: number;
  completed?: number;
  cached: boolean;
  error?: string;
  statuses: Map<string, StatusLine>;
  /** Complete lines; a line that is not ended is in `rest`. */
  logs: LogLine[];
  rest: string;
}

export interface Warning {
  short: string;
  detail: string[];
  url: string;
  filename: string;
  source: string;
  lines: number[];
}

/** Lines of a vertex's output that are kept for the report of its failure. */
const keptLines = 4096;

export interface Change {
  vertex: VertexState;
  /** `end`: the vertex is complete. */
  kind: "vertex" | "end" | "status" | "log";
  /** Of kind status. */
  status?: StatusLine;
  /** Of kind log: lines that were completed. */
  lines?: LogLine[];
}

export class BuildState {
  readonly vertices = new Map<string, VertexState>();
  readonly warnings: Warning[] = [];
  readonly #decoders = new Map<string, TextDecoder>();

  /** Takes one message in; what changed, in its order. */
  apply(message: BuildStatus): Change[] {
    const changes: Change[] = [];
    // What a vertex says in the message that tells of its end comes before the end.
    const ends: Change[] = [];
    for (const { digest, name, started, completed, cached, error } of message.vertexes ?? []) {
      const vertex = this.#vertex(digest, name);
      if (started !== undefined) vertex.started ??= Date.parse(started);
      if (completed !== undefined) vertex.completed = Date.parse(completed);
      vertex.cached ||= cached ?? false;
      if (error) vertex.error = error;
      if (completed === undefined) changes.push({ vertex, kind: "vertex" });
      else ends.push({ vertex, kind: "end" });
    }
    for (const one of message.statuses ?? []) {
      const vertex = this.vertices.get(one.vertex);
      if (!vertex) continue;
      const status: StatusLine = {
        id: one.id,
        name: one.name || one.id,
        current: one.current,
        total: one.total ?? 0,
        ...(one.started === undefined ? {} : { started: Date.parse(one.started) }),
        ...(one.completed === undefined ? {} : { completed: Date.parse(one.completed) }),
      };
      vertex.statuses.set(one.id, status);
      changes.push({ vertex, kind: "status", status });
    }
    for (const { vertex: digest, stream, data, timestamp } of message.logs ?? []) {
      const vertex = this.vertices.get(digest);
      if (!vertex) continue;
      const lines = this.#log(vertex, stream, data, Date.parse(timestamp));
      if (lines.length > 0) changes.push({ vertex, kind: "log", lines });
    }
    for (const warning of message.warnings ?? []) this.#warn(warning);
    return [...changes, ...ends];
  }

  #vertex(digest: string, name: string): VertexState {
    let vertex = this.vertices.get(digest);
    if (!vertex) {
      vertex = {
        index: this.vertices.size + 1,
        digest,
        name,
        cached: false,
        statuses: new Map(),
        logs: [],
        rest: "",
      };
      this.vertices.set(digest, vertex);
    }
    return vertex;
  }

  #log(vertex: VertexState, stream: number, data: string, time: number): LogLine[] {
    const key = `${vertex.digest} ${stream}`;
    let decoder = this.#decoders.get(key);
    if (!decoder) {
      decoder = new TextDecoder();
      this.#decoders.set(key, decoder);
    }
    const parts = (vertex.rest + decoder.decode(Buffer.from(data, "base64"), { stream: true })).split("\n");
    vertex.rest = parts.pop()!;
    const at = Math.max(0, time - (vertex.started ?? time)) / 1000;
    const lines = parts.map((text) => ({ at, text: text.replace(/\r+$/, "") }));
    vertex.logs.push(...lines);
    if (vertex.logs.length > keptLines) vertex.logs.splice(0, vertex.logs.length - keptLines);
    return lines;
  }

  /** The last line of a vertex may have no end. */
  endLog(vertex: VertexState): LogLine[] {
    if (vertex.rest === "") return [];
    const at = Math.max(0, (vertex.completed ?? Date.now()) - (vertex.started ?? Date.now())) / 1000;
    const line = { at, text: vertex.rest };
    vertex.rest = "";
    vertex.logs.push(line);
    return [line];
  }

  #warn(warning: NonNullable<BuildStatus["warnings"]>[number]): void {
    const text = (base64: string) => Buffer.from(base64, "base64").toString();
    this.warnings.push({
      short: text(warning.short),
      detail: (warning.detail ?? []).map(text),
      url: warning.url ?? "",
      filename: warning.sourceInfo?.filename ?? "",
      source: warning.sourceInfo ? text(warning.sourceInfo.data) : "",
      lines: (warning.range ?? []).map((range) => range.start.line),
    });
  }
}

/** Sizes as BuildKit's progress has them: three significant digits, decimal units. */
export function shortSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value}B` : `${value.toFixed(2)}${units[unit]}`;
}
