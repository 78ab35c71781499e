import { invalid, unimplemented } from "../base/errors.ts";
import type { MonitorSpec } from "../monitor/index.ts";
import { isBinaryLog, loggerCommand, loggerFifos } from "./binary-log.ts";

/** stdin, stdout and stderr as in a create or exec request. */
export interface Stdio {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}

type Destination = Pick<MonitorSpec, "dir" | "terminal" | "stdin" | "hold" | "log" | "fifos">;

/**
 * What a monitor does with a process's streams, out of the request's URIs (docs/architecture.md, Task API and
 * stdio): FIFO paths (with or without `fifo://`), `file:///path` for a raw log of both outputs,
 * `binary:///path` for a program that takes them, or `monitor://` with the directory and log of our own clients.
 * `dir` is where the monitor lives unless the client says so.
 */
export function destinationOf(stdio: Stdio, dir: string): Destination {
  const { terminal } = stdio;
  if (stdio.stdout.startsWith("monitor://")) return monitorDestination(stdio);
  const stdin = pathOf(stdio.stdin, "stdin");
  if (isBinaryLog(stdio)) {
    loggerCommand(stdio.stdout);
    const outputs = loggerFifos(dir, terminal);
    return { dir, terminal, stdin: stdin !== "", fifos: { ...(stdin === "" ? {} : { stdin }), ...outputs } };
  }
  if (stdio.stdout.startsWith("file://")) {
    // As with Go's shim both go there, whatever stderr says.
    const path = pathOf(stdio.stdout.slice("file://".length), "stdout");
    return {
      dir,
      terminal,
      stdin: stdin !== "",
      log: { path, format: "raw" },
      ...(stdin === "" ? {} : { fifos: { stdin } }),
    };
  }
  const stdout = pathOf(stdio.stdout, "stdout");
  // A terminal has one output; clients leave stderr empty or repeat the name.
  const stderr = terminal ? "" : pathOf(stdio.stderr, "stderr");
  return {
    dir,
    terminal,
    stdin: stdin !== "",
    fifos: {
      ...(stdin === "" ? {} : { stdin }),
      ...(stdout === "" ? {} : { stdout }),
      ...(stderr === "" ? {} : { stderr }),
    },
  };
}

const formats = ["json-file", "cri", "raw"] as const;

function monitorDestination(stdio: Stdio): Destination {
  const uri = new URL(stdio.stdout);
  const query = uri.searchParams;
  const dir = pathOf(decodeURIComponent(uri.pathname), "stdout");
  if (dir === "" || uri.host !== "") throw invalid(`${stdio.stdout} names no absolute directory`);
  const path = query.get("log");
  const format = formats.find((name) => name === (query.get("format") ?? "json-file"));
  if (!format) throw invalid(`${stdio.stdout}: unknown log format ${query.get("format")}`);
  const number = (name: string) => {
    const text = query.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw invalid(`${stdio.stdout}: ${name} is no number`);
    return Number(text);
  };
  const maxSize = number("max-size");
  const maxFiles = number("max-file");
  return {
    dir,
    terminal: stdio.terminal,
    stdin: query.get("stdin") === "1",
    ...(query.get("hold") === "1" ? { hold: true } : {}),
    ...(query.get("hold") === "1" ? { hold: true } : {}),
    ...(path
      ? {
          log: {
            path: pathOf(path, "log"),
            format,
            ...(maxSize === undefined ? {} : { maxSize }),
            ...(maxFiles === undefined ? {} : { maxFiles }),
          },
        }
      : {}),
  };
}

function pathOf(text: string, what: string): string {
  const path = text.startsWith("fifo://") ? text.slice("fifo://".length) : text;
  if (/^[a-z][a-z0-9+.-]*:\/\//.test(path))
    throw unimplemented(`${what} ${path}: unsupported scheme: not implemented`);
  if (path !== "" && !path.startsWith("/")) throw invalid(`${what} ${path} is not an absolute path`);
  return path;
}

/** With the terminal's size, where there is one. */
export function withSize(
  place: Destination,
  size: { height: number; width: number } | undefined,
): Destination & Pick<MonitorSpec, "size"> {
  if (!size || !place.terminal) return place;
  return { ...place, size: { rows: size.height, columns: size.width } };
}
