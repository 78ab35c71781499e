import { closeSync } from "node:fs";
import { constants } from "node:os";
import { conflict, invalid } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import { writeControl } from "../sys/cgroup/index.ts";
import { rawSyscall, SyscallError } from "../sys/libc.ts";
import { containerProcesses } from "./cgroup/manager.ts";
import { isAlive, isPaused, readState } from "./state-store.ts";
import type { State } from "./types.ts";

/** `KILL`, `SIGKILL` or `9`. */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const name = text.toUpperCase().replace(/^(SIG)?/, "SIG");
  const realtime = name.match(/^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/);
  if (realtime) {
    const base = realtime[1] === "MIN" ? 34 : 64;
    return base + (realtime[2] === "-" ? -1 : 1) * Number(realtime[3] ?? 0);
  }
  const number = (constants.signals as Record<string, number>)[name];
  if (number === undefined) throw invalid(`unknown signal ${JSON.stringify(text)}`);
  return number;
}

/** Sends a signal to the container's first process, or with `all` to every one (runtime-spec: Operations, Kill). */
export function kill(root: string, id: string, signal: number, options: { all?: boolean } = {}): void {
  span("runc", "kill", () => {
    const state = readState(root, id);
    // In a pid namespace of its own the others end with the first one; without, they must be found.
    const shared = !(state.spec.linux?.namespaces ?? []).some(({ type }) => type === "pid");
    if (options.all || (shared && signal === 9)) {
      const alive = isAlive(state);
      signalAll(state, signal);
      if (!alive && !options.all) throw conflict("container not running");
      return;
    }
    if (!isAlive(state)) throw conflict("container not running");
    signalProcess(state, signal);
    // A frozen process takes the signal only when it is thawed: for the one that ends it, that is meant.
    if (signal === 9 && isPaused(state)) thawQuietly(state);
  });
}

function thawQuietly(state: State): void {
  const freezer = state.cgroupPaths["freezer"];
  const unified = state.cgroupPaths[""];
  try {
    if (freezer) writeControl(freezer, "freezer.state", "THAWED");
    else if (unified) writeControl(unified, "cgroup.freeze", "0");
  } catch {}
}

/** By pidfd, checked to be ours still after it was opened: a number can be another process' by now. */
export function signalProcess(state: Pick<State, "pid" | "startTime">, signal: number): void {
  const pidfd = rawSyscall("pidfd_open", state.pid, 0);
  if (pidfd < 0) {
    if (pidfd === -constants.errno.ESRCH) throw conflict("container not running");
    signalByNumber(state.pid, signal);
    return;
  }
  try {
    if (!isAlive(state)) throw conflict("container not running");
    const result = rawSyscall("pidfd_send_signal", pidfd, signal, null, 0);
    if (result === -constants.errno.ESRCH) throw conflict("container not running");
    if (result < 0) throw new SyscallError("kill", -result, `process ${state.pid}`);
  } finally {
    closeSync(pidfd);
  }
}

function signalByNumber(pid: number, signal: number): void {
  const result = rawSyscall("kill", pid, signal);
  if (result < 0) throw new SyscallError("kill", -result, `process ${pid}`);
}

/** Every process of the cgroup. While they may fork, the list is read again until it has nothing new. */
export function signalAll(state: Pick<State, "cgroupPaths">, signal: number): void {
  const unified = Object.keys(state.cgroupPaths).length === 1 ? state.cgroupPaths[""] : undefined;
  if (unified && signal === 9) {
    try {
      writeControl(unified, "cgroup.kill", "1");
      return;
    } catch {
      // cgroup.kill came with Linux 5.14.
    }
  }
  const told = new Set<number>();
  for (let round = 0; round < 100; round++) {
    const fresh = containerProcesses(state.cgroupPaths).filter((pid) => !told.has(pid));
    if (fresh.length === 0) return;
    for (const pid of fresh) {
      told.add(pid);
      rawSyscall("kill", pid, signal);
    }
    if (signal !== 9) return;
  }
}
