import type { SourceRange } from "../graph.ts";
import type { SourceText } from "./types.ts";

const rule = "--------------------";

/** Lines of the Dockerfile around those that failed, as BuildKit's clients print them. */
export function excerpt({ filename, text }: SourceText, ranges: readonly SourceRange[]): string | undefined {
  const lines = text.split("\n");
  const marked = (line: number) => ranges.some(({ start, end }) => line >= start.line && line <= end.line);
  const first = Math.min(...ranges.map(({ start }) => start.line));
  const last = Math.min(Math.max(...ranges.map(({ end }) => end.line)), lines.length);
  if (!(first >= 1 && first <= lines.length)) return undefined;
  const around = first === last ? 2 : 1;
  const shown: string[] = [`${filename}:${first}`, rule];
  for (let at = Math.max(1, first - around); at <= Math.min(lines.length, last + around); at++)
    shown.push(
      ` ${String(at).padStart(3)} | ${marked(at) ? ">>>" : "   "} ${(lines[at - 1] ?? "").replace(/\r$/, "")}`,
    );
  shown.push(rule);
  return `${shown.join("\n")}\n`;
}
