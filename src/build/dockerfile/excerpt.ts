import type { SourceRange } from "./types.ts";

const rule = "--------------------";

/**
 * Lines of a Dockerfile around those of `ranges`, which are marked: two around a single line, one around several, as
 * BuildKit's clients print them (solver/errdefs, Source.Print). Empty without a place in the file.
 */
export function excerpt(
  { filename, text }: { filename: string; text: string },
  ranges: readonly SourceRange[],
): string {
  const lines = text.split("\n");
  const first = Math.min(...ranges.map(({ start }) => start.line));
  const last = Math.min(Math.max(...ranges.map(endOf)), lines.length);
  if (!(first >= 1 && first <= lines.length)) return "";
  const marked = (line: number) => ranges.some((range) => line >= range.start.line && line <= endOf(range));
  const around = first === last ? 2 : 1;
  const shown: string[] = [`${filename}:${first}`, rule];
  for (let at = Math.max(1, first - around); at <= Math.min(lines.length, last + around); at++)
    shown.push(
      ` ${String(at).padStart(3)} | ${marked(at) ? ">>>" : "   "} ${(lines[at - 1] ?? "").replace(/\r$/, "")}`,
    );
  shown.push(rule);
  return `${shown.join("\n")}\n`;
}

const endOf = ({ start, end }: SourceRange): number => Math.max(start.line, end.line);
