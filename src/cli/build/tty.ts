import { StringDecoder } from "node:string_decoder";
import type { BuildStatus } from "../../engine/types.ts";
import type { ProgressDisplay } from "./plain.ts";
import {
  BuildState,
  durationOf,
  isCanceled,
  isCompleted,
  isStarted,
  type LogPiece,
  sizeOf,
  type VertexState,
} from "./state.ts";

/** A terminal: what displays draw on. */
export interface Terminal {
  write(data: string): void;
  size(): { rows: number; columns: number };
}

const frameMilliseconds = 100;
/** Lines of a running step's output that are shown. */
const logLines = 6;

const codes = {
  hide: "\x1b[?25l",
  show: "\x1b[?25h",
  clearLine: "\x1b[K",
  clearBelow: "\x1b[J",
};

/** Colours as BuildKit has them, none where NO_COLOR is set (no-color.org). */
const colors = process.env["NO_COLOR"]
  ? { failed: "", canceled: "", done: "", faint: "", end: "" }
  : { failed: "\x1b[31m", canceled: "\x1b[33m", done: "\x1b[34m", faint: "\x1b[2m", end: "\x1b[0m" };

interface Line {
  text: string;
  color: string;
}

/** One vertex on the screen. */
interface Block {
  lines: Line[];
  running: boolean;
  /** The last lines of what it writes, shown when there is room. */
  tail: Line[];
}

/**
 * `--progress tty`: a line a step, redrawn in place, with the last lines of those that run. A frame is one write, every
 * line of it is cut to the terminal's width, and is cleared only behind its text, so that nothing flickers.
 */
export class TtyProgress implements ProgressDisplay {
  readonly state = new BuildState();
  readonly #out: Terminal;
  readonly #title: string;
  readonly #begun = Date.now();
  readonly #tails = new Map<VertexState, Tail>();
  /** Widths of the lines on the screen: when the terminal gets narrower they take more rows. */
  #drawn: number[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(out: Terminal, title = "") {
    this.#out = out;
    this.#title = title;
    this.#timer = setInterval(() => this.#draw(false), frameMilliseconds);
  }

  show(message: BuildStatus): void {
    for (const { vertex, logs } of this.state.apply(message)) {
      if (logs.length === 0) continue;
      let tail = this.#tails.get(vertex);
      if (!tail) {
        tail = new Tail();
        this.#tails.set(vertex, tail);
      }
      for (const piece of logs) tail.push(piece);
    }
  }

  finish(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#draw(true);
  }

  #draw(last: boolean): void {
    const size = this.#out.size();
    const columns = size.columns || 80;
    const rows = size.rows || 24;
    const now = Date.now() - this.state.clockDifference;
    const shown = [...this.state.vertices.values()].filter(isStarted);
    const done = shown.filter(isCompleted).length;
    const all = this.state.vertices.size;
    const seconds = ((Date.now() - this.#begun) / 1000).toFixed(1);
    const finished = last && done > 0 && done === all ? " FINISHED" : "";
    const head = `[+] Building ${seconds}s (${done}/${all})${finished}`;
    const blocks = shown.map((vertex) => this.#block(vertex, now, columns));
    const room = last ? Number.POSITIVE_INFINITY : Math.max(1, rows - 2);
    const lines = [
      { text: aligned(head, this.#title, columns), color: "" },
      ...(last ? blocks.flatMap((block) => block.lines) : fitted(blocks, room)),
    ];
    // The cursor is below the last line, and never gets above the first row of the screen.
    const up = Math.min(
      this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0),
      rows - 1,
    );
    const frame = lines.map(
      ({ text, color }) => `${color}${text}${color === "" ? "" : colors.end}${codes.clearLine}\n`,
    );
    this.#out.write(
      `${codes.hide}${up > 0 ? `\r\x1b[${up}A` : ""}${frame.join("")}${codes.clearBelow}${codes.show}`,
    );
    this.#drawn = last ? [] : lines.map(({ text }) => widthOf(text));
  }

  #block(vertex: VertexState, now: number, columns: number): Block {
    const running = !isCompleted(vertex);
    const mark = isCanceled(vertex)
      ? "CANCELED "
      : vertex.error !== undefined
        ? "ERROR "
        : vertex.cached
          ? "CACHED "
          : "";
    const color = running
      ? ""
      : isCanceled(vertex)
        ? colors.canceled
        : vertex.error !== undefined
          ? colors.failed
          : colors.done;
    const lines = [
      { text: row(`${mark}${printable(vertex.name)}`, "", durationOf(vertex, now), columns), color },
    ];
    for (const status of vertex.statuses.values()) {
      const took = Math.max(0, (status.completed ?? now) - status.started);
      lines.push({
        text: row(`=> ${printable(status.id)}`, sizeOf(status), took, columns),
        color: status.completed === undefined ? "" : colors.done,
      });
    }
    for (const short of vertex.warnings)
      lines.push({
        text: row(`WARN: ${printable(short)}`, "", durationOf(vertex, now), columns),
        color: colors.canceled,
      });
    const tail = running ? (this.#tails.get(vertex)?.lines() ?? []) : [];
    return {
      lines,
      running,
      tail: tail.map((text) => ({ text: cut(` => => # ${text}`, columns - 1), color: colors.faint })),
    };
  }
}

/** What the screen has room for: running steps first, then the newest of the others; output of steps if any is left. */
function fitted(blocks: readonly Block[], room: number): Line[] {
  const kept = new Set<Block>();
  let left = room;
  const take = (candidates: readonly Block[]) => {
    for (const block of candidates) {
      if (block.lines.length > left) continue;
      left -= block.lines.length;
      kept.add(block);
    }
  };
  take(blocks.filter((block) => block.running));
  take(blocks.filter((block) => !block.running).reverse());
  return blocks.flatMap((block) => {
    if (!kept.has(block)) return [];
    const tail = left >= block.tail.length ? block.tail : [];
    left -= tail.length;
    return [...block.lines, ...tail];
  });
}

/** ` => name   status   1.2s`, as wide as the terminal but for its last column. */
function row(name: string, status: string, milliseconds: number, columns: number): string {
  const seconds = milliseconds < 50 ? 0 : milliseconds / 1000;
  const right = `${seconds.toFixed(1)}s`;
  const room = Math.max(0, columns - right.length - 6);
  const shown = status !== "" && room > 20 ? ` ${status}` : "";
  return aligned(` => ${cut(name, room - shown.length)}${shown}`, right, columns);
}

function aligned(left: string, right: string, columns: number): string {
  const text = cut(left, columns - 1);
  const space = columns - 1 - widthOf(text) - right.length;
  return right === "" || space < 1 ? text : `${text}${" ".repeat(space)}${right}`;
}

/** Columns that a text takes: two for wide characters, none for those that combine. */
const widthOf = (text: string): number => Bun.stringWidth(text);

function cut(text: string, columns: number): string {
  if (text.length <= columns && widthOf(text) <= columns) return text;
  let out = "";
  let width = 0;
  for (const character of text) {
    width += widthOf(character);
    if (width > columns) break;
    out += character;
  }
  return out;
}

/** What would move the cursor or colour the rest of the screen is left out; blanks stay blanks. */
function printable(text: string): string {
  return text
    .replace(/\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g, "")
    .replace(/[\t\n\v\f\r]/g, " ")
    .replace(/[\x00-\x1f\x7f-\x9f]/g, "");
}

/** The end of a step's output. */
class Tail {
  readonly #lines: string[] = [];
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";

  push({ bytes, ended }: LogPiece): void {
    this.#rest = (this.#rest + this.#decoder.write(Buffer.from(bytes))).slice(-4096);
    if (!ended) return;
    this.#lines.push(lastDrawn(this.#rest));
    this.#rest = "";
    if (this.#lines.length > logLines) this.#lines.shift();
  }

  lines(): string[] {
    const open = lastDrawn(this.#rest);
    return (open === "" ? this.#lines : [...this.#lines, open]).filter(Boolean).slice(-logLines);
  }
}

/** Programs that draw bars write a line over and over: the last one counts. */
function lastDrawn(text: string): string {
  const parts = text.split("\r").map(printable);
  return parts.findLast((part) => part.trim() !== "") ?? "";
}
