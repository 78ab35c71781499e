import type { BuildStatus } from "../../engine/types.ts";
import type { Output } from "../streams/output.ts";
import type { ProgressDisplay } from "./plain.ts";
import { BuildState, shortSize, type VertexState } from "./state.ts";

const frameMilliseconds = 100;
const logLines = 6;

/** `--progress tty`: one line a step, redrawn in place, with the last lines of those that run. */
export class TtyProgress implements ProgressDisplay {
  readonly state = new BuildState();
  readonly #out: Output;
  readonly #started = Date.now();
  readonly #title: string;
  #drawn = 0;
  #timer: ReturnType<typeof setInterval>;

  constructor(out: Output, title = "") {
    this.#out = out;
    this.#title = title;
    this.#timer = setInterval(() => this.#draw(false), frameMilliseconds);
    this.#out.write("\x1b[?25l");
  }

  show(message: BuildStatus): void {
    this.state.apply(message);
  }

  finish(): void {
    clearInterval(this.#timer);
    this.#draw(true);
    this.#out.write("\x1b[?25h");
  }

  #draw(last: boolean): void {
    const { rows, columns } = this.#out.size();
    const width = (columns || 80) - 1;
    const shown = [...this.state.vertices.values()].filter(isShown);
    const done = shown.filter((vertex) => vertex.completed !== undefined).length;
    const seconds = ((Date.now() - this.#started) / 1000).toFixed(1);
    const head = `[+] Building ${seconds}s (${done}/${this.state.vertices.size})${last ? " FINISHED" : ""}${this.#title}`;
    const blocks = shown.map((vertex) => block(vertex, width, last));
    // What has long ended gives way when the screen is full; the end shows all.
    const room = last ? Number.POSITIVE_INFINITY : Math.max(4, (rows || 24) - 2);
    let total = blocks.reduce((sum, lines) => sum + lines.length, 0);
    for (let at = 0; total > room && at < blocks.length; at++) {
      if (shown[at]!.completed === undefined) continue;
      total -= blocks[at]!.length;
      blocks[at] = [];
    }
    const lines = [`\x1b[1m${head.slice(0, width)}\x1b[0m`, ...blocks.flat().slice(0, room)];
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    this.#out.write(`${up}\x1b[J${lines.map((line) => `${line}\n`).join("")}`);
    this.#drawn = last ? 0 : lines.length;
  }
}

const isShown = (vertex: VertexState) => vertex.started !== undefined || vertex.completed !== undefined;

const colors = { failed: "\x1b[31m", canceled: "\x1b[33m", done: "\x1b[34m", end: "\x1b[0m" };

function block(vertex: VertexState, width: number, last: boolean): string[] {
  const end = vertex.completed ?? Date.now();
  const time = `${(Math.max(0, end - (vertex.started ?? end)) / 1000).toFixed(1)}s`;
  const canceled = vertex.error !== undefined && /context canceled$/.test(vertex.error);
  const mark = canceled
    ? "CANCELED "
    : vertex.error !== undefined
      ? "ERROR "
      : vertex.cached
        ? "CACHED "
        : "";
  const color = canceled
    ? colors.canceled
    : vertex.error !== undefined
      ? colors.failed
      : vertex.completed !== undefined
        ? colors.done
        : "";
  const lines = [paint(line(` => ${mark}${vertex.name}`, time, width), color)];
  for (const status of vertex.statuses.values()) {
    const stop = status.completed ?? Date.now();
    const took = `${(Math.max(0, stop - (status.started ?? stop)) / 1000).toFixed(1)}s`;
    const size =
      status.total > 0
        ? ` ${shortSize(status.current)} / ${shortSize(status.total)}`
        : status.current > 0
          ? ` ${shortSize(status.current)}`
          : "";
    lines.push(
      paint(line(` => => ${status.name}${size}`, took, width), status.completed === undefined ? "" : color),
    );
  }
  if (!last && vertex.completed === undefined) {
    const tail = [
      ...vertex.logs.slice(-logLines).map(({ text }) => text),
      ...(vertex.rest === "" ? [] : [vertex.rest]),
    ];
    // What a program draws with is not drawn again: only its text.
    for (const text of tail.slice(-logLines))
      lines.push(` => => # ${text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f]/g, "")}`.slice(0, width));
  }
  return lines;
}

const paint = (text: string, color: string) => (color === "" ? text : `${color}${text}${colors.end}`);

function line(left: string, right: string, width: number): string {
  const room = Math.max(10, width - right.length - 1);
  return `${left.length > room ? `${left.slice(0, room - 3)}...` : left.padEnd(room)} ${right}`;
}
