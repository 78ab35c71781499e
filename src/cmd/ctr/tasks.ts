import { constants } from "node:os";
import { Status } from "../../../proto/gen/containerd/v1/types/task_pb.ts";
import { CortenError, invalid, isCode, messageOf } from "../../base/errors.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";
import { parseFlags } from "./flags.ts";
import { defaultFifos, removeContainer, runTask } from "./run.ts";

/** `ctr tasks start [-d] [--null-io] [--log-uri U] ID` */
export async function startTask(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, {
    "detach,d": "boolean",
    "null-io": "boolean",
    "log-uri": "string",
    "fifo-dir": "string",
    "pid-file": "string",
  });
  const id = flags.args[0];
  if (!id) throw invalid("container id must be provided");
  const { container } = await client.containers.get({ id });
  const { unpackSpec } = await import("../../containerd/client/index.ts");
  return runTask(client, id, {
    terminal: unpackSpec(container?.spec).process?.terminal ?? false,
    detach: flags.is("detach"),
    nullIo: flags.is("null-io"),
    logUri: flags.get("log-uri"),
    fifoDir: flags.get("fifo-dir") ?? defaultFifos,
    pidFile: flags.get("pid-file"),
  });
}

function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const name = text.toUpperCase().startsWith("SIG") ? text.toUpperCase() : `SIG${text.toUpperCase()}`;
  const number = (constants.signals as Record<string, number>)[name];
  if (number === undefined) throw invalid(`unknown signal "${text}"`);
  return number;
}

/** `ctr tasks kill [-s SIGNAL] [-a] [--exec-id E] ID`; the default is the image's stop signal. */
export async function killTask(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "signal,s": "string", "all,a": "boolean", "exec-id": "string" });
  const id = flags.args[0];
  if (!id) throw invalid("container id must be provided");
  const execId = flags.get("exec-id") ?? "";
  const { container } = await client.containers.get({ id });
  const stop = container?.labels["io.containerd.image.config.stop-signal"];
  const signal = signalNumber(flags.get("signal") ?? stop ?? "SIGTERM");
  await client.tasks.kill({ containerId: id, execId, signal, all: flags.is("all") });
  return 0;
}

/** `ctr tasks rm [-f] [--exec-id E] ID…` */
export async function removeTasks(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "force,f": "boolean", "exec-id": "string" });
  const execId = flags.get("exec-id");
  let code = 0;
  for (const containerId of flags.args) {
    try {
      if (execId) {
        await client.tasks.deleteProcess({ containerId, execId });
        continue;
      }
      const exit = await removeTask(client, containerId, flags.is("force"));
      if (exit !== 0)
        process.stderr.write(
          `time="${new Date().toISOString()}" level=warning msg="task ${containerId} exit with non-zero exit code ${exit}"\n`,
        );
    } catch (error) {
      process.stderr.write(
        `time="${new Date().toISOString()}" level=error msg="unable to delete ${containerId}" error=${JSON.stringify(messageOf(error))}\n`,
      );
      code = 1;
    }
  }
  return code;
}

async function removeTask(client: ContainerdClient, containerId: string, force: boolean): Promise<number> {
  const { process: task } = await client.tasks.get({ containerId });
  if (task && task.status !== Status.STOPPED) {
    if (!force)
      throw new CortenError(
        "failed_precondition",
        `task must be stopped before deletion: ${Status[task.status].toLowerCase()}: failed precondition`,
      );
    await client.tasks.kill({ containerId, signal: 9, all: true }).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
    await client.tasks.wait({ containerId });
  }
  return (await client.tasks.delete({ containerId })).exitStatus;
}

/** `ctr containers rm [--keep-snapshot] ID…` */
export async function removeContainers(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "keep-snapshot": "boolean" });
  if (flags.args.length === 0) throw invalid("must specify at least one container to delete");
  let code = 0;
  for (const id of flags.args) {
    try {
      await removeContainer(client, id, flags.is("keep-snapshot"));
    } catch (error) {
      process.stderr.write(
        `time="${new Date().toISOString()}" level=error msg="failed to delete container \\"${id}\\"" error=${JSON.stringify(messageOf(error))}\n`,
      );
      code = 1;
    }
  }
  return code;
}

/** `ctr tasks pause ID` and `resume`. */
export async function pauseTask(client: ContainerdClient, argv: string[]): Promise<number> {
  await client.tasks.pause({ containerId: argv[0] ?? "" });
  return 0;
}
export async function resumeTask(client: ContainerdClient, argv: string[]): Promise<number> {
  await client.tasks.resume({ containerId: argv[0] ?? "" });
  return 0;
}
