/**
 * The beginning of every plain command line: a daemon on a Unix socket, then the verb. Plain is what needs no more than
 * its text: such a command line runs a tenth of what all the flags together run, all of it but once, which is half of
 * the command's processor time (docs/performance.md). A command line with anything else in it goes the usual way, which
 * has the words for what is wrong with it.
 */
import { defaultRoots } from "../config/roots.ts";

export type Environment = Record<string, string | undefined>;

/** The daemon of a plain command line. */
export interface PlainDaemon {
  socket: string;
  /** By flag or environment: then a context of the configuration does not count. */
  chosen: boolean;
  /** Where the words after the verb begin. */
  at: number;
}

/** What any of these asks for takes more than these files. */
const elsewhere = [
  "DOCKER_CONTEXT",
  "DOCKER_TLS",
  "DOCKER_TLS_VERIFY",
  "DOCKER_API_VERSION",
  "DOCKER_DEFAULT_PLATFORM",
];

/** The daemon that a command line beginning with `verb` is for; undefined when it does not, or asks for more. */
export function plainDaemon(
  argv: readonly string[],
  verb: string,
  env: Environment,
): PlainDaemon | undefined {
  let at = 0;
  let host = env["DOCKER_HOST"] || "";
  if (argv[0] === "-H" || argv[0] === "--host") {
    host = argv[1] || "";
    at = 2;
  }
  if (argv[at++] !== verb || (host !== "" && !host.startsWith("unix:///"))) return undefined;
  for (const name of elsewhere) if (env[name]) return undefined;
  return { socket: host === "" ? defaultRoots().socket : host.slice(7), chosen: host !== "", at };
}

/** The name in `NAME=value`, or all of it. */
export function keyOf(pair: string): string {
  const at = pair.indexOf("=");
  return at < 0 ? pair : pair.slice(0, at);
}

export const between = (code: number, first: string, last: string) =>
  code >= first.charCodeAt(0) && code <= last.charCodeAt(0);

/** Letters, digits, `_`, `.` and `-`: what a path or a query takes as it is. */
export function isWord(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (!between(code, "a", "z") && !between(code, "0", "9") && !between(code, "A", "Z"))
      if (code !== 95 && code !== 46 && code !== 45) return false;
  }
  return text !== "";
}
