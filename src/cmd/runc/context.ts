import { appendFileSync } from "node:fs";
import { resolve } from "node:path";
import { CortenError, invalid } from "../../base/errors.ts";
import { configureLog, log } from "../../base/log.ts";
import { type Flag, type Flags, parseFlags } from "./flags.ts";

/** The flags before the verb. */
const globalFlags: readonly Flag[] = [
  ["debug", "", "bool"],
  ["log", "", "string"],
  ["log-format", "", "string"],
  ["root", "", "string"],
  ["criu", "", "string"],
  ["systemd-cgroup", "", "bool"],
  ["rootless", "", "string"],
  ["help", "h", "bool"],
  ["version", "v", "bool"],
];

export interface Context {
  root: string;
  systemdCgroup: boolean;
  /** Ignore permission errors on cgroups. */
  rootless: boolean;
  /** CRIU's program, when another one is to be used than the first in $PATH. */
  criu: string;
  /** Errors go to a file, so stderr gets its own copy for people. */
  logsToFile: boolean;
  warn(message: string): void;
}

/** An error that ends the program with its own status. */
export class ExitError extends CortenError {
  readonly status: number;
  constructor(status: number, message: string, cause?: unknown) {
    super("unknown", message, { cause });
    this.status = status;
  }
}

export function parseGlobal(argv: readonly string[]): Flags {
  return parseFlags(argv, globalFlags, true);
}

export function makeContext(flags: Flags): Context {
  const format = flags.string("log-format") || "text";
  if (format !== "text" && format !== "json") throw invalid(`invalid log-format: ${JSON.stringify(format)}`);
  configureLog({ format, level: flags.bool("debug") ? "debug" : "info" });
  const file = flags.string("log");
  if (file) {
    // Opened once now: a log that cannot be written is an error of its own.
    appendFileSync(file, "", { mode: 0o644 });
    configureLog({ write: (line) => appendFileSync(file, line) });
  }
  const rootless = flags.string("rootless") || "auto";
  if (!["auto", "true", "false"].includes(rootless))
    throw invalid(`parsing bool ${JSON.stringify(rootless)}`);
  const runtimeDirectory = process.env["XDG_RUNTIME_DIR"];
  const unprivileged = process.geteuid?.() !== 0;
  const fallback = unprivileged && runtimeDirectory ? `${runtimeDirectory}/runc` : "/run/runc";
  return {
    root: resolve(flags.string("root") || fallback),
    systemdCgroup: flags.bool("systemd-cgroup"),
    rootless: rootless === "true" || (rootless === "auto" && unprivileged),
    criu: flags.string("criu"),
    logsToFile: file !== "" && file !== "/dev/stderr",
    warn: (message) => log.warn(message),
  };
}

/** Checks the number of words after the flags, with runc's text. */
export function expectArgs(flags: Flags, verb: string, minimum: number, maximum = minimum): void {
  const count = flags.args.length;
  if (count >= minimum && count <= maximum) return;
  const wanted =
    minimum === maximum
      ? `exactly ${minimum}`
      : maximum === Number.POSITIVE_INFINITY
        ? `a minimum of ${minimum}`
        : `a minimum of ${minimum} and a maximum of ${maximum}`;
  throw invalid(
    `runc: ${JSON.stringify(verb)} requires ${wanted} argument${minimum === maximum ? "(s)" : "s"}`,
  );
}
