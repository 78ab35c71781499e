import { aborted } from "../../base/async.ts";
import { CortenError, conflict } from "../../base/errors.ts";
import type { Process, Spec } from "../../oci/runtime-spec.ts";
import type { Context } from "../context.ts";
import type { ExecOptions, RunningExec } from "../engine.ts";
import type { Container } from "../records.ts";

export function requireRunning({ record }: Container): void {
  if (record.state !== "running")
    throw conflict(`container is in CONTAINER_${record.state === "created" ? "CREATED" : "EXITED"} state`);
}

/** Starts a command in a container; it is the caller's to release. */
export async function startExec(
  context: Context,
  container: Container,
  options: ExecOptions,
): Promise<RunningExec> {
  requireRunning(container);
  if (options.command.length === 0) throw new CortenError("invalid_argument", "command is empty");
  return context.engine.exec(container, options);
}

/** The container's own process with another command line. */
export function execProcess(spec: Spec | undefined, options: ExecOptions): Process {
  if (!spec?.process) throw new CortenError("internal", "the container has no process in its spec");
  const { terminal: _, ...rest } = spec.process;
  const env = (rest.env ?? []).filter((entry) => !entry.startsWith("TERM="));
  return {
    ...rest,
    args: [...options.command],
    env: options.tty ? [...env, "TERM=xterm"] : env,
    ...(options.tty ? { terminal: true } : {}),
  };
}

/** More than this of each output of an ExecSync is dropped. */
const outputLimit = 16 << 20;

/** Runs a command to its end, or for `timeout` seconds (0: without end), and gives what it wrote. */
export async function execSync(
  context: Context,
  container: Container,
  command: readonly string[],
  timeout: number,
  signal: AbortSignal,
): Promise<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }> {
  const exec = await startExec(context, container, {
    command,
    tty: false,
    stdin: false,
    stdout: true,
    stderr: true,
  });
  const late = new AbortController();
  const timer = timeout > 0 ? setTimeout(() => late.abort(), timeout * 1000) : undefined;
  const over = AbortSignal.any([late.signal, signal]);
  try {
    const done = Promise.all([collect(exec.streams.stdout), collect(exec.streams.stderr), exec.exited]);
    done.catch(() => {});
    const ended = await Promise.race([done, aborted(over)]);
    if (ended) return { stdout: ended[0], stderr: ended[1], exitCode: ended[2] };
    await exec.kill();
    await exec.exited.catch(() => {});
    throw new CortenError(
      "deadline_exceeded",
      `failed to exec in container: timeout ${timeout}s exceeded: context deadline exceeded`,
    );
  } finally {
    clearTimeout(timer);
    exec.streams.close();
    await exec.release();
  }
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const rest = outputLimit - length;
    if (rest <= 0) continue;
    chunks.push(chunk.subarray(0, rest));
    length += Math.min(rest, chunk.length);
  }
  return Buffer.concat(chunks);
}
