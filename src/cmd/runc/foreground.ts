import { existsSync } from "node:fs";
import { constants } from "node:os";
import { sleep } from "../../base/async.ts";
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
  let stopForwarding = () => {};
  const launcher: Launcher = {
    launch: async (plan) => {
      started = await direct.launch(plan);
      for (const { name, start, end } of started.timings)
        log.debug(`init: ${name}`, { microseconds: Number((end - start) / 1000n) });
      return started;
    },
  };
  const release = () => {
    stopForwarding();
    tty?.close();
  };
  return {
    launcher,
    ...(tty && { consoleFd: tty.childEnd }),
    begin() {
      tty?.begin();
      if (!detach) stopForwarding = forwardSignals(() => started?.pid);
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

/** Sends what we get on to a process; the answer ends that. */
function forwardSignals(pidOf: () => number | undefined): () => void {
  const forward: Array<[NodeJS.Signals, () => void]> = [];
  for (const [name, number] of Object.entries(constants.signals)) {
    if (ownSignals.has(name)) continue;
    const listener = () => {
      const pid = pidOf();
      if (pid !== undefined) rawSyscall("kill", pid, number);
    };
    try {
      process.on(name as NodeJS.Signals, listener);
      forward.push([name as NodeJS.Signals, listener]);
    } catch {
      // A signal that the engine keeps for itself.
    }
  }
  return () => {
    for (const [name, listener] of forward) process.off(name, listener);
  };
}

/** A process that was restored as a child of ours, instead of launched. */
export interface AdoptedForeground {
  consoleFd?: number;
  /** Stays with it to its end and gives its status. */
  wait(pid: number): Promise<number>;
  close(): void;
}

export function adoptForeground(terminal: boolean): AdoptedForeground {
  const tty = terminal ? new ForegroundTerminal() : undefined;
  return {
    ...(tty && { consoleFd: tty.childEnd }),
    async wait(pid) {
      tty?.begin();
      const stopForwarding = forwardSignals(() => pid);
      try {
        const status = await childExit(pid);
        await tty?.finish();
        return status;
      } finally {
        stopForwarding();
        tty?.close();
      }
    },
    close: () => tty?.close(),
  };
}

/** waitid(2) of a child that no library of ours has started. */
async function childExit(pid: number): Promise<number> {
  const info = new Uint8Array(128);
  const view = new DataView(info.buffer);
  for (;;) {
    const result = rawSyscall("waitid", 1 /* P_PID */, pid, info, 5 /* WNOHANG | WEXITED */, null);
    if (result < 0) throw new CortenError("internal", `the status of process ${pid} is not known`);
    if (view.getInt32(0, true) !== 0) break;
    await sleep(20);
  }
  const status = view.getInt32(24, true);
  return view.getInt32(8, true) === 1 /* CLD_EXITED */ ? status : 128 + status;
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
