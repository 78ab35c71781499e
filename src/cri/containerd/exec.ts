import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { CortenError, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { packProcess } from "../../containerd/client/index.ts";
import { connectMonitor, type Monitor } from "../../monitor/index.ts";
import { execProcess } from "../container/exec.ts";
import { containerDir } from "../container/paths.ts";
import type { ExecOptions, RunningExec } from "../engine.ts";
import type { Container } from "../records.ts";
import type { ContainerdParts } from "./context.ts";
import { madeContainer } from "./made.ts";
import { abandonStdio, makeStdio } from "./stdio.ts";

/** Starts a command in a container's task; it is the caller's to release. */
export async function startExec(
  context: ContainerdParts,
  container: Container,
  options: ExecOptions,
): Promise<RunningExec> {
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
    const process = execProcess((await madeContainer(context, containerId))?.spec, options);
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
      // Another containerd's shim holds the FIFO until it is told.
      stdinEnded: () => {
        void client.tasks.closeIO({ ...ids, stdin: true }).catch(() => {});
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
