/** What is said after a build: the output of the step that failed, and warnings. */
import type { Output } from "../streams/output.ts";
import type { BuildState } from "./state.ts";

/** Lines of a failed step's output that are shown again. */
const shownLines = 10;
const rule = "-".repeat(20);

/** The failed step and its last lines, as BuildKit's command line prints them before the error. */
export function reportFailure(state: BuildState, err: Output): void {
  const failed = [...state.vertices.values()].find(
    (vertex) => vertex.error !== undefined && !/context canceled$/.test(vertex.error),
  );
  if (!failed) return;
  const logs = failed.logs.slice(-shownLines);
  err.line("------");
  err.line(` > ${failed.name}:`);
  for (const { at, text } of logs) err.line(`${at.toFixed(3)} ${text}`);
  err.line("------");
}

export function reportWarnings(state: BuildState, err: Output, verbose: boolean): void {
  const { warnings } = state;
  if (warnings.length === 0) return;
  err.line(
    `\n ${warnings.length} warning${warnings.length === 1 ? "" : "s"} found${verbose ? "" : " (use docker --debug to expand)"}:`,
  );
  for (const { short, detail, url, filename, source, lines } of warnings) {
    err.line(` - ${short}`);
    if (!verbose) continue;
    for (const line of detail) err.line(line);
    if (url !== "") err.line(`More info: ${url}`);
    if (source !== "" && lines.length > 0) err.write(excerpt(filename, source, lines));
    err.line("");
  }
}

interface CheckResult {
  warnings?: unknown[];
  sources?: { filename: string; data: string }[];
  buildError?: { message: string; location: { ranges?: { start: { line?: number } }[] } };
}

/** What `--check` came to, around the daemon's text, which has the warnings but not the error that ended it. */
export function reportCheck(json: string | undefined, text: string, out: Output): void {
  const { warnings = [], sources = [], buildError } = JSON.parse(json ?? "{}") as CheckResult;
  const count = warnings.length;
  if (count > 0)
    out.line(`Check complete, ${count === 1 ? "1 warning has" : `${count} warnings have`} been found!`);
  else if (!buildError) out.line("Check complete, no warnings found.");
  out.write(text);
  if (!buildError) return;
  out.line(`${count > 0 ? "\n" : ""}ERROR: ${buildError.message}`);
  const lines = (buildError.location.ranges ?? []).flatMap(({ start }) => start.line ?? []);
  const [source] = sources;
  if (source && lines.length > 0)
    out.write(excerpt(source.filename, Buffer.from(source.data, "base64").toString(), lines));
}

function excerpt(filename: string, source: string, marked: readonly number[]): string {
  const all = source.split("\n");
  const first = Math.max(1, Math.min(...marked) - 2);
  const last = Math.min(all.length, Math.max(...marked) + 2);
  const out = [`${filename}:${marked[0]}`, rule];
  for (let at = first; at <= last; at++)
    out.push(`${String(at).padStart(4)} | ${marked.includes(at) ? ">>>" : "   "} ${all[at - 1] ?? ""}`);
  return `${[...out, rule].join("\n")}\n`;
}
