/**
 * Columns of text: cells end in tabs, and a column is as wide as its widest cell among lines that follow each other
 * (Go's text/tabwriter, whose alignment docker's tables have).
 */
import { displayWidth } from "./text.ts";

export interface TabOptions {
  minWidth: number;
  padding: number;
}

export function alignColumns(text: string, { minWidth, padding }: TabOptions): string {
  const ended = text.endsWith("\n");
  const lines = (ended ? text.slice(0, -1) : text).split("\n").map((line) => line.split("\t"));
  const out: string[] = [];

  const emit = (from: number, to: number, widths: readonly number[]) => {
    for (const cells of lines.slice(from, to))
      out.push(
        cells
          .map((cell, at) =>
            at < widths.length ? cell + " ".repeat(Math.max(0, widths[at]! - displayWidth(cell))) : cell,
          )
          .join(""),
      );
  };
  const layOut = (from: number, to: number, widths: readonly number[]) => {
    const column = widths.length;
    let start = from;
    for (let at = from; at < to; at++) {
      if (column >= lines[at]!.length - 1) continue;
      emit(start, at, widths);
      start = at;
      let wide = minWidth;
      while (at < to && column < lines[at]!.length - 1) {
        wide = Math.max(wide, displayWidth(lines[at]![column]!) + padding);
        at++;
      }
      layOut(start, at, [...widths, wide]);
      start = at;
      at--;
    }
    emit(start, to, widths);
  };
  layOut(0, lines.length, []);
  return out.join("\n") + (ended ? "\n" : "");
}
