import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { CortenError, conflict, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { packProcess, unpackSpec } from "../../containerd/client/index.ts";
import { type Attachment, connectMonitor, type Monitor } from "../../monitor/index.ts";
import type { Process } from "../../oci/runtime-spec.ts";
import type { Context } from "../context.ts";
import type { Container } from "../records.ts";
import { containerDir } from "./paths.ts";
import { abandonStdio, makeStdio } from "./stdio.ts";

export interface ExecOptions {
  command: readonly string[];
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** A command that runs in a container. */
export interface RunningExec {
  readonly streams: Attachment;
  /** Its exit code, when all output has been read or dropped. */
  readonly exited: Promise<number>;
  resize(rows: number, columns: number): Promise<void>;
  /** After the client's end of stdin: another containerd's shim holds the FIFO until it is told. */
  stdinEnded(): void;
  kill(): Promise<void>;
  /** Its monitor, record and directory go. */
  release(): Promise<void>;
}

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
  const { client } = context;
  const containerId = container.record.id;
  const execId = randomBytes(16).toString("hex");
  const ids = { containerId, execId };
  const dir = join(containerDir(context, containerId).runtimeDir, "execs", execId);
  const stdio = await makeStdio(context, { dir, terminal: options.tty, stdin: options.stdin, hold: true });
  let monitor: Monitor | undefined = stdio.monitor;
  const release = async () => {
    await client.tasks.deleteProcess(ids).catch((error) => {
      if (!isCode(error, "not_found")) log.debug("exec", { id: execId, error: messageOf(error) });
    });
    monitor?.close();
    context.removal.runtime.discard(dir);
  };
  try {
    const process = await processOf(context, containerId, options);
    let streams = monitor ? await monitor.attach(options) : undefined;
    await client.tasks.exec({ ...ids, ...stdio.paths, terminal: options.tty, spec: packProcess(process) });
    const exited = client.tasks.wait(ids).then(({ exitStatus }) => exitStatus);
    exited.catch(() => {});
    await client.tasks.start(ids);
    if (!streams) {
      monitor = await connectMonitor(dir);
      streams = await monitor.attach(options);
    }
    return {
      streams,
      exited,
      resize: async (rows, columns) => {
        await client.tasks.resizePty({ ...ids, width: columns, height: rows });
      },
      stdinEnded: () => {
        if (!context.own) void client.tasks.closeIO({ ...ids, stdin: true }).catch(() => {});
      },
      kill: async () => {
        await client.tasks.kill({ ...ids, signal: 9 }).catch((error) => {
          if (!isCode(error, "not_found")) throw error;
        });
      },
      release,
    };
  } catch (error) {
    await release();
    abandonStdio(stdio);
    throw new CortenError(
      error instanceof CortenError ? error.code : "unknown",
      `failed to start exec ${JSON.stringify(execId)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** The container's own process with another command line. */
async function processOf({ client }: Context, id: string, options: ExecOptions): Promise<Process> {
  const { container } = await client.containers.get({ id });
  const { process } = unpackSpec(container?.spec);
  if (!process) throw new CortenError("internal", `container ${id} has no process in its spec`);
  const { terminal: _, ...rest } = process;
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

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });

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
