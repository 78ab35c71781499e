import type { BuildStatus } from "../../engine/types.ts";
import type { Output } from "../streams/output.ts";
import { BuildState, type Change, type StatusLine, shortSize, type VertexState } from "./state.ts";

/** Who shows a build's progress. */
export interface ProgressDisplay {
  readonly state: BuildState;
  show(message: BuildStatus): void;
  /** After the last message. */
  finish(): void;
}

/** Output of another vertex is held back for so long after the last line of the shown one. */
const patience = 1000;

/**
 * `--progress plain`: one vertex at a time as long as it has something to say, `#N` before each line. Others wait for it to
 * end, or to fall silent.
 */
export class PlainProgress implements ProgressDisplay {
  readonly state = new BuildState();
  readonly #out: Output;
  #current: VertexState | undefined;
  #lastShown = 0;
  readonly #waiting = new Map<VertexState, string[]>();
  readonly #ended = new Set<VertexState>();

  constructor(out: Output) {
    this.#out = out;
  }

  show(message: BuildStatus): void {
    for (const change of this.state.apply(message)) this.#take(change);
    this.#flush(false);
  }

  finish(): void {
    this.#flush(true);
  }

  #take({ vertex, kind, status, lines }: Change): void {
    const prefix = `#${vertex.index} `;
    if (kind === "vertex" || kind === "end") {
      // What only was announced is shown when it begins; inputs spared by the cache never do.
      if (vertex.started === undefined && !vertex.cached) return;
      this.#add(vertex);
      if (kind === "vertex" || this.#ended.has(vertex)) return;
      this.#ended.add(vertex);
      for (const { at, text } of this.state.endLog(vertex))
        this.#add(vertex, `${prefix}${at.toFixed(3)} ${text}`);
      this.#add(vertex, prefix + outcome(vertex), "");
    } else if (status) {
      if (status.completed !== undefined || status.current > 0)
        this.#add(vertex, prefix + statusText(status));
    } else for (const { at, text } of lines ?? []) this.#add(vertex, `${prefix}${at.toFixed(3)} ${text}`);
  }

  #add(vertex: VertexState, ...lines: string[]): void {
    const list = this.#waiting.get(vertex) ?? [];
    list.push(...lines);
    this.#waiting.set(vertex, list);
  }

  #flush(all: boolean): void {
    for (;;) {
      if (this.#current) {
        this.#print(this.#current);
        if (this.#ended.has(this.#current)) this.#current = undefined;
        else if (!all && (this.#waiting.size === 0 || Date.now() - this.#lastShown < patience)) return;
        else if (this.#waiting.size === 0) return;
        else {
          this.#out.write(`#${this.#current.index} ...\n\n`);
          this.#current = undefined;
        }
      }
      // Those that have ended come first: they are out of the way at once.
      const next = [...this.#waiting.keys()].sort(
        (a, b) => Number(this.#ended.has(b)) - Number(this.#ended.has(a)) || a.index - b.index,
      )[0];
      if (!next) return;
      this.#current = next;
      this.#out.write(`#${next.index} ${next.name}\n`);
      this.#lastShown = Date.now();
    }
  }

  #print(vertex: VertexState): void {
    const lines = this.#waiting.get(vertex);
    if (!lines) return;
    this.#waiting.delete(vertex);
    if (lines.length === 0) return;
    this.#out.write(lines.map((line) => `${line}\n`).join(""));
    this.#lastShown = Date.now();
  }
}

function statusText(status: StatusLine): string {
  const { name, current, total, started, completed } = status;
  let text = name;
  if (total > 0) text += ` ${shortSize(current)} / ${shortSize(total)}`;
  else if (current > 0) text += ` ${shortSize(current)}`;
  if (completed !== undefined) {
    const seconds = (completed - (started ?? completed)) / 1000;
    text += `${seconds >= 0.05 ? ` ${seconds.toFixed(1)}s` : ""} done`;
  }
  return text;
}

function outcome(vertex: VertexState): string {
  if (vertex.error !== undefined)
    return /context canceled$/.test(vertex.error) ? "CANCELED" : `ERROR: ${vertex.error}`;
  if (vertex.cached) return "CACHED";
  return `DONE ${(Math.max(0, vertex.completed! - (vertex.started ?? vertex.completed!)) / 1000).toFixed(1)}s`;
}
