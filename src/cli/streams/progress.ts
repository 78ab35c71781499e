/** Shows progress streams: one line per layer that is redrawn on a terminal, plain lines elsewhere. */

import { humanDuration } from "../../base/duration.ts";
import type { ProgressMessage } from "../../engine/types.ts";
import { StatusError } from "../errors.ts";
import { humanSize } from "../format/units.ts";
import type { Output } from "./output.ts";

/** Reads the stream to its end; throws what it reports as an error. `onAux` gets the messages' extras. */
export async function showProgress(
  messages: AsyncIterable<ProgressMessage>,
  out: Output | undefined,
  onAux: (aux: unknown) => void = () => {},
): Promise<void> {
  const terminal = out?.isTerminal ?? false;
  const lineOf = new Map<string, number>();
  let lines = 0;
  for await (const message of messages) {
    if (message.errorDetail || message.error !== undefined) {
      const detail = message.errorDetail;
      const text = detail?.message ?? message.error ?? "";
      throw new StatusError(
        detail?.code && detail.code > 1 ? detail.code : 1,
        detail?.code === 401 ? "authentication is required" : text,
      );
    }
    if (message.aux !== undefined) {
      onAux(message.aux);
      continue;
    }
    if (!out) continue;
    const bar = message.progressDetail !== undefined || message.progress !== undefined;
    if (!bar || message.id === undefined || !terminal) {
      if (bar && !terminal && progressText(message, 80) !== "") continue;
      if (message.id !== undefined && terminal) redraw(out, message, lineOf, lineOf.size);
      else {
        lineOf.clear();
        out.write(plain(message, terminal));
      }
      continue;
    }
    lines = lineOf.size;
    redraw(out, message, lineOf, lines);
  }
}

function redraw(out: Output, message: ProgressMessage, lineOf: Map<string, number>, lines: number): void {
  const id = message.id!;
  let at = lineOf.get(id);
  if (at === undefined) {
    at = lines;
    lineOf.set(id, at);
    out.write("\n");
  }
  const up = lineOf.size - at;
  const columns = out.size().columns || 80;
  const progress = progressText(message, columns);
  const text = `${id}: ${message.status ?? ""}${progress === "" ? "" : ` ${progress}`}`;
  // Up to its line, clear it, write, and back down: all other lines stay where they are.
  out.write(`\x1b[${up}A\x1b[2K\r${text}\r\x1b[${up}B`);
}

function plain(message: ProgressMessage, terminal: boolean): string {
  if (message.stream !== undefined) return message.stream;
  const time = message.timeNano ?? message.time;
  const prefix =
    (time === undefined
      ? ""
      : `${new Date(message.timeNano ? message.timeNano / 1e6 : (message.time ?? 0) * 1000).toISOString()} `) +
    (message.id === undefined ? "" : `${message.id}: `) +
    (message.from === undefined ? "" : `(from ${message.from}) `);
  const end = message.progress !== undefined && terminal ? "\r" : "\n";
  return `${prefix}${message.status ?? ""}${end}`;
}

/** `[=====>    ]  1.2MB/3.4MB`, or only the sizes when the terminal is narrow. */
function progressText(message: ProgressMessage, columns: number): string {
  const detail = message.progressDetail;
  if (!detail) return message.progress ?? "";
  const current = detail.current ?? 0;
  const total = detail.total ?? 0;
  if (current <= 0 && total <= 0) return "";
  if (total <= 0) return detail.units ? `${current} ${detail.units}` : humanSize(current).padStart(8);
  let bar = "";
  if (columns > 110) {
    const filled = Math.min(Math.trunc((current / total) * 50), 50);
    bar = `[${"=".repeat(filled)}>${" ".repeat(50 - filled)}] `;
  }
  const shown = current > total ? "" : detail.units ? `/${total} ${detail.units}` : `/${humanSize(total)}`;
  const numbers = detail.hidecounts
    ? ""
    : `${detail.units ? current : humanSize(current).padStart(8)}${shown}`;
  let left = "";
  if (current > 0 && detail.start && (current / total) * 100 < 50) {
    const elapsed = Date.now() / 1000 - detail.start;
    left = ` ${humanDuration((elapsed / current) * (total - current))}`;
  }
  return bar + numbers + left;
}
