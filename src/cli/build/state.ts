/** What is known of a running build: the messages of the daemon, put together by vertex. */
import type { BuildStatus } from "../../engine/types.ts";

export interface StatusLine {
  id: string;
  current: number;
  total: number;
  /** Milliseconds since 1970, as all times here. */
  timestamp: number;
  started: number;
  completed?: number;
}

/** A piece of a step's output; a line that is not ended yet goes on in the next piece. */
export interface LogPiece {
  /** `1.234 ` before the first piece of a line, empty before others. */
  time: string;
  /** As the step wrote it, which need not be UTF-8. */
  bytes: Uint8Array;
  /** The line ends here. */
  ended: boolean;
}

export interface VertexState {
  digest: string;
  name: string;
  /** Beginning → end of each time it ran; undefined while it does. */
  runs: Map<number, number | undefined>;
  cached: boolean;
  error?: string;
  statuses: Map<string, StatusLine>;
  /** The last lines of output, at most `keptLines`, of at most `keptBytes` each. */
  lines: Uint8Array[];
  /** The last of `lines` is not ended. */
  open: boolean;
  warnings: string[];
}

export interface Warning {
  short: string;
  detail: string[];
  url: string;
  filename: string;
  source: string;
  ranges: { first: number; last: number }[];
}

export const keptLines = 1000;
const keptBytes = 4096;

/** What one message said of one vertex. */
export interface Change {
  vertex: VertexState;
  /** Began, ended, or has another name or outcome than before. */
  changed: boolean;
  statuses: StatusLine[];
  logs: LogPiece[];
}

export const isStarted = ({ runs }: VertexState): boolean => runs.size > 0;

export function isCompleted({ runs }: VertexState): boolean {
  return runs.size > 0 && [...runs.values()].every((end) => end !== undefined);
}

export const isCanceled = ({ error }: VertexState): boolean => error?.endsWith("context canceled") ?? false;

/** When it ended last. */
export const endOf = ({ runs }: VertexState): number =>
  Math.max(...[...runs.values()].map((end) => end ?? 0));

/** Milliseconds that a vertex ran, times that overlap counted once. */
export function durationOf({ runs }: VertexState, now: number): number {
  let sum = 0;
  let reached = Number.NEGATIVE_INFINITY;
  for (const [start, end = Math.max(now, start)] of [...runs].sort(([a], [b]) => a - b)) {
    if (end > reached) sum += end - Math.max(start, reached);
    reached = Math.max(reached, end);
  }
  return sum;
}

export class BuildState {
  /** In the order they were heard of. */
  readonly vertices = new Map<string, VertexState>();
  readonly warnings: Warning[] = [];
  /** When the first vertex began, by the daemon's clock, and how far ours is ahead. */
  started: number | undefined;
  clockDifference = 0;

  /** Takes one message in; what it changed, by vertex. */
  apply(message: BuildStatus): Change[] {
    const changes = new Map<VertexState, Change>();
    const changeOf = (vertex: VertexState): Change => {
      let change = changes.get(vertex);
      if (!change) {
        change = { vertex, changed: false, statuses: [], logs: [] };
        changes.set(vertex, change);
      }
      return change;
    };
    for (const { digest, name, started, completed, cached, error } of message.vertexes ?? []) {
      const vertex = this.#vertex(digest);
      const begun = started === undefined ? undefined : Date.parse(started);
      // Telling of a vertex again without a start does not undo what is known of it.
      if (isStarted(vertex) && begun === undefined && completed === undefined) continue;
      vertex.name = name;
      vertex.cached = cached ?? false;
      if (error) vertex.error = error;
      const ended = completed === undefined ? undefined : Date.parse(completed);
      const start = begun ?? ended;
      if (start === undefined) continue;
      vertex.runs.set(start, ended);
      this.#start(start);
      changeOf(vertex).changed = true;
    }
    for (const one of message.statuses ?? []) {
      const vertex = this.vertices.get(one.vertex);
      if (!vertex) continue;
      const timestamp = Date.parse(one.timestamp);
      const status: StatusLine = {
        id: one.id,
        current: one.current,
        total: one.total ?? 0,
        timestamp,
        started: one.started === undefined ? timestamp : Date.parse(one.started),
        ...(one.completed === undefined ? {} : { completed: Date.parse(one.completed) }),
      };
      vertex.statuses.set(one.id, status);
      changeOf(vertex).statuses.push(status);
    }
    for (const { vertex: digest, data, timestamp } of message.logs ?? []) {
      const vertex = this.vertices.get(digest);
      if (vertex) changeOf(vertex).logs.push(...logPieces(vertex, data, Date.parse(timestamp)));
    }
    for (const warning of message.warnings ?? []) this.#warn(warning);
    return [...changes.values()];
  }

  #start(time: number): void {
    if (this.started !== undefined) return;
    this.started = time;
    this.clockDifference = Date.now() - time;
  }

  #vertex(digest: string): VertexState {
    let vertex = this.vertices.get(digest);
    if (!vertex) {
      vertex = {
        digest,
        name: "",
        runs: new Map(),
        cached: false,
        statuses: new Map(),
        lines: [],
        open: false,
        warnings: [],
      };
      this.vertices.set(digest, vertex);
    }
    return vertex;
  }

  #warn(warning: NonNullable<BuildStatus["warnings"]>[number]): void {
    const text = (base64: string) => Buffer.from(base64, "base64").toString();
    const short = text(warning.short);
    this.vertices.get(warning.vertex)?.warnings.push(short);
    this.warnings.push({
      short,
      detail: (warning.detail ?? []).map(text),
      url: warning.url ?? "",
      filename: warning.sourceInfo?.filename ?? "",
      source: warning.sourceInfo ? text(warning.sourceInfo.data) : "",
      ranges: (warning.range ?? []).map(({ start, end }) => ({
        first: start.line,
        last: Math.max(start.line, end.line),
      })),
    });
  }
}

const newline = 10;

function logPieces(vertex: VertexState, base64: string, timestamp: number): LogPiece[] {
  const data = Buffer.from(base64, "base64");
  const begun = Math.max(...vertex.runs.keys());
  const seconds = Number.isFinite(begun) ? (timestamp - begun) / 1000 : 0;
  const stamp = `${seconds.toFixed(seconds < 10 ? 3 : seconds < 100 ? 2 : 1)} `;
  const pieces: LogPiece[] = [];
  for (let at = 0; at < data.length; ) {
    const end = data.indexOf(newline, at);
    const bytes = data.subarray(at, end < 0 ? undefined : end);
    pieces.push({ time: vertex.open ? "" : stamp, bytes, ended: end >= 0 });
    remember(vertex, stamp, bytes);
    vertex.open = end < 0;
    at += bytes.length + 1;
  }
  return pieces;
}

function remember({ lines, open }: VertexState, stamp: string, bytes: Uint8Array): void {
  if (open && lines.length > 0) {
    const room = keptBytes - lines.at(-1)!.length;
    if (room > 0) lines.push(Buffer.concat([lines.pop()!, bytes.subarray(0, room)]));
    return;
  }
  lines.push(Buffer.concat([Buffer.from(stamp), bytes.subarray(0, keptBytes)]));
  if (lines.length > keptLines) lines.shift();
}

/** Sizes as BuildKit's progress has them: two decimals, decimal units. */
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

/** `1.10MB / 2.20MB`, `1.10MB`, or nothing. */
export function sizeOf({ current, total }: StatusLine): string {
  if (total > 0) return `${shortSize(current)} / ${shortSize(total)}`;
  return current > 0 ? shortSize(current) : "";
}
