import { messageOf } from "../../../base/errors.ts";
import type { EngineClient } from "../../../engine/client.ts";
import type { WaitResponse } from "../../../engine/types.ts";
import type { Cli } from "../../cli.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, string, type Values } from "../../flags/flag.ts";
import { bodyOf, type CreateRequest, createContainer } from "../../run/create.ts";
import { startError } from "../../run/failure.ts";
import { containerFlags, createFlags } from "../../run/flags.ts";
import { Detached } from "../../streams/detach.ts";
import { connectStdio } from "../../streams/hijack.ts";
import { followSize } from "../../streams/resize.ts";
import { forwardSignals } from "../../streams/signals.ts";
import { checkTerminal } from "../../streams/terminal.ts";

const flags = {
  ...containerFlags,
  ...createFlags,
  detach: bool("d", "Run in the background and print the container's id"),
  "detach-keys": string("", "Keys that leave the container running"),
  "sig-proxy": bool("", "Pass signals on to the process", true),
  trace: bool("", "When it has ended, show what each layer did and how long it took"),
};

export default defineCommand({
  usage: "IMAGE [COMMAND] [ARG...]",
  arguments: { min: 1 },
  flags,
  interspersed: false,
  ownsShortHelp: true,
  async run({ cli, args, values, changed }) {
    const work = async () => {
      const body = await bodyOf(cli, "run", values, changed, args);
      return runContainer(cli, body, values);
    };
    if (!values.trace) return work();
    const { traced } = await import("../../trace/run.ts");
    return traced(cli, args[0]!, work);
  },
});

/** Create, attach, wait, start, in this order: nothing of a short life is missed. Resolves to the exit code. */
async function runContainer(cli: Cli, body: CreateRequest, values: Values<typeof flags>): Promise<number> {
  if (values.detach) {
    if (values.attach.length > 0)
      throw new StatusError(1, "conflicting options: cannot specify both --attach and --detach");
    Object.assign(body, { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false });
  } else checkTerminal(cli, Boolean(body.AttachStdin), Boolean(body.Tty));

  let client: EngineClient;
  let id: string;
  try {
    client = await cli.quickClient();
    id = await createContainer(cli, client, body, values);
  } catch (error) {
    throw startError(cli.program, error);
  }
  const attached = Boolean(body.AttachStdin || body.AttachStdout || body.AttachStderr);
  const undo: Array<() => void> = [];
  if (values["sig-proxy"] && attached) undo.push(forwardSignals(client, id));
  try {
    if (!attached) {
      cli.out.line(id);
      await client.containers.start(id).catch((error) => {
        throw startError(cli.program, error);
      });
      return 0;
    }
    return await runAttached(cli, client, id, body, values, undo);
  } finally {
    for (const step of undo.reverse()) step();
  }
}

async function runAttached(
  cli: Cli,
  client: EngineClient,
  id: string,
  body: CreateRequest,
  values: Values<typeof flags>,
  undo: Array<() => void>,
): Promise<number> {
  const detachKeys = values["detach-keys"] || cli.config.detachKeys || "";
  // Side by side: the start is to come after both.
  const waiting = client.containers.wait(id, values.rm ? "removed" : "next-exit");
  waiting.catch(() => {});
  const stream = await client.containers.attach(id, {
    stdin: Boolean(body.AttachStdin),
    stdout: Boolean(body.AttachStdout),
    stderr: Boolean(body.AttachStderr),
    detachKeys,
  });
  const output = Boolean(body.AttachStdout || body.AttachStderr);
  const stdio = connectStdio(cli, stream, {
    stdin: Boolean(body.AttachStdin),
    stdout: Boolean(body.AttachStdout),
    stderr: Boolean(body.AttachStderr),
    tty: Boolean(body.Tty),
    detachKeys,
  });
  stdio.catch(() => {});
  const { exited } = await waiting;
  try {
    await client.containers.start(id);
  } catch (error) {
    stream.close();
    await stdio.catch(() => {});
    if (values.rm) await exited.catch(() => {});
    throw startError(cli.program, error);
  }
  if (body.Tty && cli.out.isTerminal)
    undo.push(followSize(cli, (rows, columns) => client.containers.resize(id, rows, columns)));
  try {
    // The end of the output comes before the exit, except when only stdin is attached.
    await (output ? stdio : Promise.race([stdio, exited]));
  } catch (error) {
    if (error instanceof Detached) return 0;
    throw error;
  }
  return exitCode(cli, await waited(exited));
}

async function waited(exited: Promise<WaitResponse>): Promise<WaitResponse> {
  try {
    return await exited;
  } catch (error) {
    throw new StatusError(125, `error waiting for container: ${messageOf(error)}`, { cause: error });
  }
}

export function exitCode(cli: Cli, result: WaitResponse): number {
  if (result.Error?.Message) {
    cli.err.line(`Error waiting for container: ${result.Error.Message}`);
    return 125;
  }
  return result.StatusCode;
}
