import { existsSync } from "node:fs";
import { constants } from "node:os";
import { CortenError, invalid } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
// Not from the index: what it also exports loads node:stream, 4 ms of a 25 ms run.
import { type DirectProcess, directLauncher } from "../../monitor/direct.ts";
import type { Launcher } from "../../monitor/index.ts";
import { describeFailure } from "../../runc/failure.ts";
import { rawSyscall } from "../../sys/libc.ts";
import type { Flags } from "./flags.ts";
import { ForegroundTerminal } from "./terminal.ts";

/** Not forwarded: what is about ourselves, and what cannot be caught. */
const ownSignals = new Set([
  "SIGKILL",
  "SIGSTOP",
  "SIGCHLD",
  "SIGWINCH",
  "SIGURG",
  "SIGPROF",
  "SIGPIPE",
  "SIGSEGV",
  "SIGBUS",
  "SIGFPE",
  "SIGILL",
  "SIGABRT",
  "SIGTRAP",
  "SIGSYS",
  "SIGIO",
  "SIGIOT",
  "SIGPOLL",
  "SIGVTALRM",
  "SIGTTIN",
  "SIGTTOU",
]);

/** How a process is to be started: with whose terminal, and whether we stay with it. */
export interface Attachment {
  launcher: Launcher;
  consoleFd?: number;
  /** For a foreground process: runs until it ends and gives its status. Call after it was started. */
  wait(): Promise<number>;
  /** Takes over the terminal and the signals; once the process waits at its gate or runs. */
  begin(): void;
  /** After a failure. */
  close(): void;
}

/** runc's rules on --console-socket: it is for those who ask for a terminal and leave. */
export function checkTerminal(terminal: boolean, detach: boolean, consoleSocket: string): void {
  if (detach && terminal && consoleSocket === "")
    throw invalid("cannot allocate tty if runc will detach without setting console socket");
  if ((!detach || !terminal) && consoleSocket !== "")
    throw invalid("cannot use console socket if runc will not detach or allocate tty");
}

export function attach(terminal: boolean, detach: boolean): Attachment {
  const direct = directLauncher({ detach });
  const tty = terminal && !detach ? new ForegroundTerminal() : undefined;
  let started: DirectProcess | undefined;
  const forward: Array<[NodeJS.Signals, () => void]> = [];
  const launcher: Launcher = {
    launch: async (plan) => {
      started = await direct.launch(plan);
      for (const { name, start, end } of started.timings)
        log.debug(`init: ${name}`, { microseconds: Number((end - start) / 1000n) });
      return started;
    },
  };
  const release = () => {
    for (const [name, listener] of forward) process.off(name, listener);
    tty?.close();
  };
  return {
    launcher,
    ...(tty && { consoleFd: tty.childEnd }),
    begin() {
      tty?.begin();
      if (detach) return;
      for (const [name, number] of Object.entries(constants.signals)) {
        if (ownSignals.has(name)) continue;
        const listener = () => void (started && rawSyscall("kill", started.pid, number));
        try {
          process.on(name as NodeJS.Signals, listener);
          forward.push([name as NodeJS.Signals, listener]);
        } catch {
          // A signal that the engine keeps for itself.
        }
      }
    },
    async wait() {
      if (!started) throw new CortenError("internal", "the process was never launched");
      const status = await started.exited;
      await tty?.finish();
      release();
      const failure = started.failure();
      if (failure) throw describeFailure(failure, []);
      return status;
    },
    close: release,
  };
}

/** How many descriptors from 3 on belong to the container: $LISTEN_FDS, then --preserve-fds. */
export function passedDescriptors(flags: Flags): { listenFds: number; preserveFds: number } {
  const listen = Number(process.env["LISTEN_FDS"] ?? 0);
  const ours = !process.env["LISTEN_PID"] || Number(process.env["LISTEN_PID"]) === process.pid;
  const listenFds = Number.isInteger(listen) && listen > 0 && ours ? listen : 0;
  const preserveFds = flags.integer("preserve-fds");
  for (let index = 0; index < preserveFds; index++)
    if (!existsSync(`/proc/self/fd/${3 + listenFds + index}`))
      throw invalid(`unable to stat preserved-fd ${index} (of ${preserveFds})`);
  return { listenFds, preserveFds };
}
