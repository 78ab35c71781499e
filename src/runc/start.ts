import { closeSync, constants, existsSync, openSync, rmSync } from "node:fs";
import { constants as os } from "node:os";
import { join } from "node:path";
import { sleep } from "../base/async.ts";
import { conflict } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import { errnoOf } from "../sys/cgroup/index.ts";
import { rawSyscall, SyscallError } from "../sys/libc.ts";
import { hookState } from "./compile/hooks.ts";
import { runHooks } from "./hooks.ts";
import { containerDirectory, fifoName, isAlive, isPaused, readState, statusOf } from "./state-store.ts";
import type { State, Warn } from "./types.ts";

/** Lets the process of a created container run its program (runtime-spec: Operations, Start). */
export function start(root: string, id: string, warn: Warn = () => {}): Promise<void> {
  return span("runc", "start", async () => {
    const state = readState(root, id);
    if (isPaused(state)) refuse(root, state);
    await openGate(join(containerDirectory(root, id), fifoName), state, () => refuse(root, state));
    const context = { ...hookState(state.spec, id, state.bundle, "running"), pid: state.pid };
    // The program runs already: what goes wrong from here on is told, and changes nothing (runtime-spec: poststart).
    await runHooks(state.spec.hooks?.poststart, "poststart", context, warn);
  });
}

const { EAGAIN } = os.errno;

/** So often the byte is looked for at once, before a millisecond is waited each time. */
const eager = 20;

/** Says why a container cannot be started, by what it is now. */
function refuse(root: string, state: State): never {
  const status = statusOf(root, state);
  if (status === "stopped") throw conflict("cannot start a container that has stopped");
  if (status === "paused") throw conflict("cannot start a container in the paused state");
  throw conflict("cannot start an already running container");
}

/**
 * Takes the byte that the init writes when the fifo's other end is opened. Without blocking: a process that
 * dies at its gate would keep us waiting for ever.
 */
async function openGate(path: string, state: State, refuseStart: () => never): Promise<void> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") refuseStart();
    throw error;
  }
  try {
    for (let attempt = 0; ; attempt++) {
      // In this order: a process that wrote and ended between the two has left its byte.
      const living = (attempt > 0 && attempt <= eager) || isAlive(state);
      if (takeByte(fd)) break;
      if (!living && attempt === 0) refuseStart();
      if (!living) throw conflict("container process is already dead");
      if (attempt > eager) {
        if (!existsSync(path)) throw conflict("cannot start an already running container");
        await sleep(1);
      } else {
        await new Promise<void>((done) => setImmediate(done));
      }
    }
    // Gone before our end is closed: whoever sees it can still open the gate.
    rmSync(path, { force: true });
  } finally {
    closeSync(fd);
  }
}

/** False while nobody has opened the other end (read of 0), or has and not written yet (EAGAIN: not worth an exception). */
function takeByte(fd: number): boolean {
  const taken = rawSyscall("read", fd, new Uint8Array(1), 1);
  if (taken < 0 && taken !== -EAGAIN) throw new SyscallError("read", -taken, fifoName);
  return taken === 1;
}
