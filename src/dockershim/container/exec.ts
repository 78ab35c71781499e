import { closeSync } from "node:fs";
import { aborted, sleep } from "../../base/async.ts";
import { CortenError, conflict, messageOf } from "../../base/errors.ts";
import type { ExecOptions } from "../../cri/streaming/types.ts";
import { demultiplex, type HijackedStream } from "../../engine/client.ts";
import type { ContainerInspect, ExecInspect } from "../../engine/types.ts";
import { rawSyscall } from "../../sys/libc.ts";
import type { Context } from "../context.ts";
import { getContainer } from "../find.ts";

/** A command that runs in a container, with its streams. */
export interface RunningExec {
  readonly id: string;
  readonly stream: HijackedStream;
  resize(rows: number, columns: number): Promise<void>;
  /** Its exit code; to be asked when all output has been read. */
  exitCode(): Promise<number>;
  kill(): Promise<void>;
}

export function requireRunning({ State }: ContainerInspect): void {
  if (!State.Running)
    throw conflict(
      `container is in ${State.Status === "created" ? "CONTAINER_CREATED" : "CONTAINER_EXITED"} state`,
    );
}

/** Starts a command in a container, as the container's own user. */
export async function startExec(
  context: Context,
  containerId: string,
  { command, tty, stdin, stdout, stderr }: ExecOptions,
): Promise<RunningExec> {
  const { client } = context;
  const container = await getContainer(context, containerId);
  requireRunning(container);
  if (command.length === 0) throw new CortenError("invalid_argument", "command is empty");
  try {
    const { Id: id } = await client.execs.create(container.Id, {
      Cmd: [...command],
      Tty: tty,
      AttachStdin: stdin,
      AttachStdout: stdout,
      AttachStderr: stderr && !tty,
    });
    const stream = await client.execs.attach(id, { Detach: false, Tty: tty });
    return {
      id,
      stream,
      resize: (rows, columns) => client.execs.resize(id, rows, columns),
      exitCode: () => exitCodeOf(context, id),
      kill: () => killExec(context, id),
    };
  } catch (error) {
    throw new CortenError(
      error instanceof CortenError ? error.code : "unknown",
      `failed to exec in container: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** The end of the output comes a moment before the daemon knows the exit code, and long before it where a child holds it. */
async function exitCodeOf({ client, closing }: Context, id: string): Promise<number> {
  const ended = await client.execs.ended(id);
  for (let delay = 5, found: ExecInspect = ended ?? (await client.execs.inspect(id)); ; ) {
    if (!found.Running && found.ExitCode !== null) return found.ExitCode;
    if (closing.aborted) throw new CortenError("canceled", "the server closes");
    await sleep(delay);
    delay = Math.min(delay * 2, 500);
    found = await client.execs.inspect(id);
  }
}

const SIGKILL = 9;

/** The API cannot end an exec, but it tells the pid; the pidfd makes sure that it is still that process. */
async function killExec({ client }: Context, id: string): Promise<void> {
  const { Running, Pid } = await client.execs.inspect(id);
  if (!Running || Pid <= 0) return;
  const fd = rawSyscall("pidfd_open", Pid, 0);
  if (fd < 0) return;
  try {
    if ((await client.execs.inspect(id)).Running) rawSyscall("pidfd_send_signal", fd, SIGKILL, 0, 0);
  } finally {
    closeSync(fd);
  }
}

/** More than this of each output of an ExecSync is dropped. */
const outputLimit = 16 << 20;

/** Runs a command to its end, or for `timeout` seconds (0: without end), and gives what it wrote. */
export async function execSync(
  context: Context,
  containerId: string,
  command: readonly string[],
  timeout: number,
  signal: AbortSignal,
): Promise<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }> {
  const late = new AbortController();
  const timer = timeout > 0 ? setTimeout(() => late.abort(), timeout * 1000) : undefined;
  const over = AbortSignal.any([late.signal, signal]);
  const exec = await startExec(context, containerId, {
    command,
    tty: false,
    stdin: false,
    stdout: true,
    stderr: true,
  });
  try {
    const output = collect(exec.stream.output);
    output.catch(() => {});
    const ended = await Promise.race([output, aborted(over)]);
    const exitCode = ended && (await Promise.race([exec.exitCode(), aborted(over)]));
    if (exitCode !== undefined) {
      const { stdout, stderr } = ended!;
      // What could not be started has its reason where its output would be.
      const said = exitCode >= 126 ? `${stdout}\n${stderr}` : "";
      const reason = /^OCI runtime exec failed: .*/m.exec(said)?.[0];
      if (reason !== undefined)
        throw new CortenError("unknown", `failed to exec in container: ${reason.trim()}`);
      return { stdout, stderr, exitCode };
    }
    await exec.kill();
    throw new CortenError(
      "deadline_exceeded",
      `failed to exec in container: timeout ${timeout}s exceeded: context deadline exceeded`,
    );
  } finally {
    clearTimeout(timer);
    exec.stream.close();
  }
}

async function collect(output: AsyncIterable<Uint8Array>): Promise<{ stdout: Buffer; stderr: Buffer }> {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const left = { stdout: outputLimit, stderr: outputLimit };
  for await (const { stream, bytes } of demultiplex(output)) {
    const name = stream === "stderr" ? "stderr" : "stdout";
    if (left[name] <= 0) continue;
    chunks[name].push(bytes.slice(0, left[name]));
    left[name] -= bytes.length;
  }
  return { stdout: Buffer.concat(chunks.stdout), stderr: Buffer.concat(chunks.stderr) };
}
