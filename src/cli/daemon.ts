/** Starts our own daemon in the background when a verb needs it and nobody answers: there is no install step. */
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError } from "../base/errors.ts";
import type { EngineClient } from "../engine/client.ts";
import type { Cli } from "./cli.ts";
import { defaultRoots } from "./config/roots.ts";

/** How long a daemon may take to answer: far above what it needs, adopting many containers included. */
const patienceMilliseconds = 30_000;
const pollMilliseconds = 2;

/** Resolves when the daemon answers. Two commands at once may both start one: the daemon lets only one live. */
export async function startDaemon(cli: Cli, client: EngineClient): Promise<void> {
  const { dataRoot, execRoot, socket } = defaultRoots();
  const logPath = join(execRoot, "dockerd.log");
  mkdirSync(execRoot, { recursive: true, mode: 0o711 });
  const log = openSync(logPath, "a", 0o640);
  cli.err.line(`${cli.program}: no daemon on ${socket}; starting one in the background (log: ${logPath})`);
  const { spawn } = await import("node:child_process");
  const flags = ["--data-root", dataRoot, "--exec-root", execRoot, "-H", `unix://${socket}`];
  const [command, ...before] = ownCommand();
  const child = spawn(command!, [...before, "dockerd", ...flags], {
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
    argv0: command!,
  });
  closeSync(log);
  let ended: string | undefined;
  child.on("error", (error) => {
    ended = error.message;
  });
  child.on("exit", (code, signal) => {
    ended = signal ? `ended by ${signal}` : `exit status ${code}`;
  });
  child.unref();

  const giveUp = performance.now() + patienceMilliseconds;
  let graceAfterEnd = 0;
  for (;;) {
    try {
      await client.system.ping();
      return;
    } catch (error) {
      if (!(error instanceof CortenError)) throw error;
    }
    // Ended at once: either it failed, or another command's daemon won and is about to answer.
    if (ended !== undefined && graceAfterEnd === 0) graceAfterEnd = performance.now() + 1000;
    if (performance.now() > giveUp || (graceAfterEnd > 0 && performance.now() > graceAfterEnd))
      throw new CortenError(
        "unavailable",
        `the daemon did not start (${ended ?? "no answer"}); its log ${logPath} ends with:\n${lastLines(logPath)}`,
      );
    await Bun.sleep(pollMilliseconds);
  }
}

/** How to run this same program: the executable itself, or Bun with our main file during development. */
function ownCommand(): string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  } catch {
    return "(no log)";
  }
}
