import type { BuildStatus } from "../../engine/types.ts";
import {
  BuildState,
  type Change,
  durationOf,
  endOf,
  isCanceled,
  isCompleted,
  isStarted,
  type LogPiece,
  type StatusLine,
  sizeOf,
  type VertexState,
} from "./state.ts";

/** Who shows a build's progress. */
export interface ProgressDisplay {
  readonly state: BuildState;
  show(message: BuildStatus): void;
  /** After the last message; twice is as good as once. */
  finish(): void;
}

/** What displays write to. */
export interface Sink {
  write(data: string | Uint8Array): void;
}

/** A vertex with much to say keeps the others out for so long, and longer the more of all output is its own. */
const fairTurn = 5000;
/** Nobody waits longer. */
const longestWait = 10_000;
/** A status line is repeated when it has come this much further, or after this time. */
const statusStep = 0.05;
const statusInterval = 5000;
const printInterval = 100;

/** What a vertex has to say and has not said yet. */
interface Pending {
  changed: boolean;
  statuses: Map<string, StatusLine>;
  logs: LogPiece[];
  warnings: number;
  /** Things to say since `since`: who has more of them per second gets the next turn. */
  count: number;
  since: number;
}

/**
 * `--progress plain`, by BuildKit's rules: one vertex at a time as long as it has something to say, `#N` before each
 * line; those that have ended come first; a vertex that others wait for gives way in the end.
 */
export class PlainProgress implements ProgressDisplay {
  readonly state = new BuildState();
  readonly #out: Sink;
  readonly #description: string;
  readonly #now: () => number;
  readonly #index = new Map<VertexState, number>();
  readonly #pending = new Map<VertexState, Pending>();
  readonly #updated = new Set<VertexState>();
  readonly #shown = new Map<StatusLine["id"], { current: number; timestamp: number }>();
  readonly #warned = new Map<VertexState, number>();
  #current: VertexState | undefined;
  /** The last line of the current vertex has no end yet. */
  #open = false;
  #printed = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(out: Sink, options: { description?: string; now?: () => number } = {}) {
    this.#out = out;
    this.#description = options.description ?? "";
    this.#now = options.now ?? Date.now;
  }

  show(message: BuildStatus): void {
    for (const change of this.state.apply(message)) this.#take(change);
    const wait = printInterval - (this.#now() - this.#printed);
    if (wait <= 0) this.#print();
    else
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#print();
      }, wait);
  }

  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#print();
    // What has not ended says what is left of it, too.
    while (this.#updated.size > 0) this.#turn([...this.#updated][0]!);
    if (this.#open) this.#out.write("\n");
    this.#open = false;
  }

  #take({ vertex, changed, statuses, logs }: Change): void {
    let pending = this.#pending.get(vertex);
    if (!pending) {
      pending = { changed: false, statuses: new Map(), logs: [], warnings: 0, count: 0, since: 0 };
      this.#pending.set(vertex, pending);
    }
    if (pending.count === 0) pending.since = this.#now();
    pending.count += Number(changed) + statuses.length + Number(logs.length > 0);
    pending.changed ||= changed;
    for (const status of statuses) pending.statuses.set(status.id, status);
    pending.logs.push(...logs);
    if (isStarted(vertex)) this.#updated.add(vertex);
  }

  #print(): void {
    this.#printed = this.#now();
    const before = this.#current;
    const ended = [...this.#updated].filter(isCompleted).sort((a, b) => endOf(a) - endOf(b));
    if (before && ended.includes(before)) this.#turn(before);
    for (const vertex of ended) if (vertex !== before) this.#turn(vertex);
    const running = [...this.#updated];
    if (running.length === 0) {
      // Somebody is at work: say who.
      if (this.#current === undefined || isCompleted(this.#current)) {
        const open = [...this.state.vertices.values()].find((one) => isStarted(one) && !isCompleted(one));
        if (open) this.#turn(open);
      }
      return;
    }
    if (this.#current && this.#updated.has(this.#current)) this.#turn(this.#current);
    const next = this.#next(running);
    if (next && next !== this.#current) this.#turn(next);
  }

  /** Whose turn it is: that of the current one, unless others have waited for long enough. */
  #next(running: readonly VertexState[]): VertexState | undefined {
    const now = this.#now();
    const waited = (vertex: VertexState) => now - (this.#pending.get(vertex)?.since ?? now);
    const speed = (vertex: VertexState) =>
      (this.#pending.get(vertex)?.count ?? 0) / Math.max(1, waited(vertex));
    const others = running.filter((vertex) => vertex !== this.#current);
    const busiest = others.reduce<VertexState | undefined>(
      (best, one) => (best === undefined || speed(one) > speed(best) ? one : best),
      undefined,
    );
    if (this.#current === undefined) return busiest;
    const patient = others.find((vertex) => waited(vertex) > longestWait);
    if (patient) return patient;
    const all = [this.#current, ...others].reduce((sum, one) => sum + speed(one), 0);
    const share = all === 0 ? 0 : speed(this.#current) / all;
    return fairTurn / Math.max(1e-9, 1 - share) < waited(this.#current) ? busiest : this.#current;
  }

  #turn(vertex: VertexState): void {
    const number = this.#numberOf(vertex);
    const pending = this.#pending.get(vertex);
    const line = (text: string) => {
      if (this.#open) this.#out.write("\n");
      this.#open = false;
      this.#out.write(`#${number} ${text}\n`);
    };
    if (vertex !== this.#current) this.#change(vertex, number);
    for (const status of pending?.statuses.values() ?? []) {
      if (!this.#isNews(vertex, status)) continue;
      this.#shown.set(`${vertex.digest} ${status.id}`, status);
      line(statusText(status));
    }
    const warned = this.#warned.get(vertex) ?? 0;
    for (const short of vertex.warnings.slice(warned)) line(`WARN: ${short}`);
    this.#warned.set(vertex, vertex.warnings.length);
    for (const { time, bytes, ended } of pending?.logs ?? []) this.#log(number, time, bytes, ended);
    if (pending) {
      pending.statuses.clear();
      pending.logs = [];
      pending.changed = false;
    }
    this.#updated.delete(vertex);
    this.#current = vertex;
    if (!isCompleted(vertex)) return;
    if (pending) pending.count = 0;
    line(outcome(vertex));
    this.#current = undefined;
  }

  /** Headers: the one that was shown goes on later, and here is another. */
  #change(vertex: VertexState, number: number): void {
    const before = this.#current;
    if (before) {
      if (this.#open) this.#out.write("\n");
      this.#open = false;
      const pending = this.#pending.get(before);
      if (pending) pending.count = 0;
      this.#out.write(`#${this.#numberOf(before)} ...\n`);
    }
    if (number > 1 || before || this.#index.size > 1) this.#out.write("\n");
    else if (this.#description !== "") this.#out.write(`#0 ${this.#description}\n\n`);
    this.#out.write(`#${number} ${vertex.name}\n`);
  }

  #log(number: number, time: string, bytes: Uint8Array, ended: boolean): void {
    // A line that was interrupted by another vertex is taken up with its number, but has no time.
    if (!this.#open) this.#out.write(`#${number} ${time}`);
    this.#out.write(bytes);
    if (ended) this.#out.write("\n");
    this.#open = !ended;
  }

  #numberOf(vertex: VertexState): number {
    let number = this.#index.get(vertex);
    if (number === undefined) {
      number = this.#index.size + 1;
      this.#index.set(vertex, number);
    }
    return number;
  }

  #isNews(vertex: VertexState, status: StatusLine): boolean {
    const last = this.#shown.get(`${vertex.digest} ${status.id}`);
    if (!last || status.completed !== undefined) return true;
    const progress = status.total > 0 ? (status.current - last.current) / status.total : 0;
    return progress >= statusStep || status.timestamp - last.timestamp >= statusInterval;
  }
}

function statusText(status: StatusLine): string {
  const size = sizeOf(status);
  const seconds = ((status.completed ?? status.timestamp) - status.started) / 1000;
  return (
    status.id +
    (size === "" ? "" : ` ${size}`) +
    (seconds > 0.01 ? ` ${seconds.toFixed(1)}s` : "") +
    (status.completed === undefined ? "" : " done")
  );
}

function outcome(vertex: VertexState): string {
  if (isCanceled(vertex)) return "CANCELED";
  if (vertex.error !== undefined) return `ERROR: ${vertex.error}`;
  if (vertex.cached) return "CACHED";
  return `DONE ${(durationOf(vertex, Date.now()) / 1000).toFixed(1)}s`;
}
