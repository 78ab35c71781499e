/** Messages on stderr, in logrus' two forms: short on a terminal, key=value elsewhere. No colours. */
import { fs } from "../base/lazy.ts";
import { goQuote } from "../cli/format/quote.ts";
import { rfc3339 } from "../cli/format/time.ts";

export type Level = "debug" | "info" | "warning" | "error";

const short: Record<Level, string> = { debug: "DEBU", info: "INFO", warning: "WARN", error: "ERRO" };
const started = Date.now();
let debugging = false;

/** Shows debug messages as well. */
export function showDebug(): void {
  debugging = true;
}

export function log(level: Level, message: string): void {
  if (level === "debug" && !debugging) return;
  const { isatty } = require("node:tty") as typeof import("node:tty");
  const line = isatty(2)
    ? `${short[level]}[${String(Math.trunc((Date.now() - started) / 1000)).padStart(4, "0")}] ${message.padEnd(44)} `
    : `time=${goQuote(rfc3339(Date.now() / 1000))} level=${level} msg=${quoted(message)}`;
  fs().writeSync(2, `${line}\n`);
}

/** logrus leaves plain words unquoted. */
const quoted = (text: string) => (/^[A-Za-z0-9\-._/@^+]+$/.test(text) ? text : goQuote(text));
