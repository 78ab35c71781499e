import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { CortenError } from "../../base/errors.ts";
import { rawSyscall, syscall } from "../../sys/libc.ts";
import { askServer, type ControlAnswer, type ControlRequest } from "./control.ts";
import type { Place } from "./place.ts";

/** The name by which containerd finds us for `io.containerd.corten.v2`. */
const programName = "containerd-shim-corten-v2";

/** One at a time for a place: who comes second finds the first one's server. */
export async function startServer(
  place: Place,
  debug: boolean,
  request: ControlRequest,
  program: string,
): Promise<ControlAnswer> {
  const lock = await lockPlace(place);
  try {
    const running = await askServer(place.socket, request);
    if (running) return running;
    rmSync(place.socket, { force: true });
    const log = openSync(place.log, "a", 0o600);
    const child = Bun.spawn(
      [
        program,
        ...(Bun.isStandaloneExecutable ? [] : [Bun.main]),
        ...(debug ? ["-debug"] : []),
        ...(request.asksVersion ? ["-publish-binary", request.callback.publishBinary] : []),
        ...["-socket", place.socket, "-bundle", place.state, "serve"],
      ],
      {
        argv0: programName,
        cwd: "/",
        detached: true,
        stdio: ["ignore", "pipe", log],
      },
    );
    closeSync(log);
    const output = child.stdout.getReader();
    const first = await output.read();
    // The server goes on, and must not keep us.
    void output.cancel();
    child.unref();
    const answer = first.done ? undefined : await askServer(place.socket, request);
    if (!answer)
      throw new CortenError(
        "unavailable",
        `the shim server did not start: ${readFileSync(place.log, "utf8").trim().slice(-2000)}`,
      );
    return answer;
  } finally {
    closeSync(lock);
  }
}

const exclusive = 2;

/** Waits for the lock of a place. The last server takes the file along: it must still be the one we have opened. */
async function lockPlace(place: Place): Promise<number> {
  for (;;) {
    mkdirSync(place.directory, { recursive: true, mode: 0o700 });
    let file: number;
    try {
      file = openSync(place.lock, "a", 0o600);
    } catch {
      continue;
    }
    syscall("flock", [file, exclusive], place.lock);
    if (isStill(place.lock, file)) return file;
    closeSync(file);
  }
}

/** Takes the lock for a server that wants to leave; undefined while somebody else has it. */
export function tryLock(place: Place): number | undefined {
  let file: number;
  try {
    file = openSync(place.lock, "a", 0o600);
  } catch {
    return undefined;
  }
  const withoutWaiting = 4;
  if (rawSyscall("flock", file, exclusive | withoutWaiting) >= 0 && isStill(place.lock, file)) return file;
  closeSync(file);
  return undefined;
}

function isStill(path: string, file: number): boolean {
  try {
    return statSync(path).ino === fstatSync(file).ino;
  } catch {
    return false;
  }
}
