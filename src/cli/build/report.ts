/** What is said after a build: the output of the steps that failed, warnings, and answers to questions. */
import { lineRanges } from "../../build/dockerfile/errors.ts";
import { excerpt } from "../../build/dockerfile/excerpt.ts";
import type { Sink } from "./plain.ts";
import { type BuildState, isCanceled } from "./state.ts";

/** The failed steps and the last lines of each, as BuildKit's command line prints them before the error. */
export function reportFailure(state: BuildState, err: Sink, shownLines: number): void {
  for (const vertex of state.vertices.values()) {
    if (vertex.error === undefined || isCanceled(vertex)) continue;
    err.write(`------\n > ${vertex.name}:\n`);
    for (const line of vertex.lines.slice(-shownLines)) {
      err.write(line);
      err.write("\n");
    }
    err.write("------\n");
  }
}

export function reportWarnings(state: BuildState, err: Sink, verbose: boolean): void {
  const { warnings } = state;
  if (warnings.length === 0) return;
  const count = warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`;
  err.write(`\n ${count} found${verbose ? "" : " (use docker --debug to expand)"}:\n`);
  for (const { short, detail, url, filename, source, ranges } of warnings) {
    err.write(` - ${short}\n`);
    if (!verbose) continue;
    for (const line of detail) err.write(`${line}\n`);
    if (url !== "") err.write(`More info: ${url}\n`);
    const lines = ranges.flatMap(({ first, last }) => lineRanges(first, last));
    if (source !== "" && lines.length > 0) err.write(excerpt({ filename, text: source }, lines));
    err.write("\n");
  }
}

interface CheckResult {
  warnings?: unknown[];
  sources?: { filename: string; data: string }[];
  buildError?: {
    message: string;
    location: { ranges?: { start: { line?: number }; end: { line?: number } }[] };
  };
}

/**
 * What `--check` came to, around the daemon's text, which has the warnings but not the error that ended it; that is
 * returned, for it belongs to stderr.
 */
export function reportCheck(json: string | undefined, text: string, out: Sink): string | undefined {
  const { warnings = [], sources = [], buildError } = JSON.parse(json ?? "{}") as CheckResult;
  const count = warnings.length;
  if (count > 0)
    out.write(`Check complete, ${count === 1 ? "1 warning has" : `${count} warnings have`} been found!\n`);
  out.write(text);
  if (!buildError) {
    if (count === 0) out.write("Check complete, no warnings found.\n");
    return undefined;
  }
  if (count > 0) out.write("\n");
  const lines = (buildError.location.ranges ?? []).flatMap(({ start, end }) =>
    start.line === undefined ? [] : lineRanges(start.line, end.line ?? start.line),
  );
  const [source] = sources;
  const shown =
    source && lines.length > 0
      ? excerpt({ filename: source.filename, text: Buffer.from(source.data, "base64").toString() }, lines)
      : "";
  return `${buildError.message}\n${shown}`.trimEnd();
}
