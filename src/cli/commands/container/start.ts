import { messageOf } from "../../../base/errors.ts";
import type { Cli } from "../../cli.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";
import { Detached } from "../../streams/detach.ts";
import { exitCode } from "./run.ts";

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: {
    attach: bool("a", "Show its output and pass signals on"),
    checkpoint: string("", "Restore it from this checkpoint"),
    "checkpoint-dir": string("", "Directory of the daemon's machine that the checkpoint is in"),
    "detach-keys": string("", "Keys that leave the container running"),
    interactive: bool("i", "Connect stdin"),
  },
  async run({ cli, args, values }) {
    if (values.attach || values.interactive) {
      if (args.length > 1)
        throw new StatusError(1, "you cannot start and attach multiple containers at once");
      const { checkpoint, "checkpoint-dir": checkpointDir } = values;
      return startAttached(cli, args[0]!, values.interactive, values["detach-keys"], {
        checkpoint,
        checkpointDir,
      });
    }
    const client = await cli.client();
    if (values.checkpoint !== "") {
      if (args.length > 1) throw new StatusError(1, "you cannot restore multiple containers at once");
      const { checkpoint, "checkpoint-dir": checkpointDir } = values;
      await client.containers.start(args[0]!, { checkpoint, checkpointDir });
      return 0;
    }
    const failed: string[] = [];
    for (const name of args) {
      try {
        await client.containers.start(name);
        cli.out.line(name);
      } catch (error) {
        cli.err.line(messageOf(error));
        failed.push(name);
      }
    }
    if (failed.length > 0)
      throw new StatusError(1, `Error: failed to start containers: ${failed.join(", ")}`);
    return 0;
  },
});

async function startAttached(
  cli: Cli,
  name: string,
  interactive: boolean,
  keys: string,
  from: { checkpoint: string; checkpointDir: string },
): Promise<number> {
  const client = await cli.client();
  const { Id: id, Config, HostConfig } = await client.containers.inspect(name);
  const { connectStdio } = await import("../../streams/hijack.ts");
  const { forwardSignals } = await import("../../streams/signals.ts");
  const { followSize } = await import("../../streams/resize.ts");
  const undo: Array<() => void> = [];
  if (!Config.Tty) undo.push(forwardSignals(client, id));
  try {
    const detachKeys = keys || cli.config.detachKeys || "";
    const stdio = { stdin: interactive && Config.OpenStdin, stdout: true, stderr: true };
    const stream = await client.containers.attach(id, { ...stdio, detachKeys });
    const copied = connectStdio(cli, stream, { ...stdio, tty: Config.Tty, detachKeys });
    copied.catch(() => {});
    const { exited } = await client.containers.wait(id, HostConfig.AutoRemove ? "removed" : "next-exit");
    try {
      await client.containers.start(id, from);
    } catch (error) {
      stream.close();
      await copied.catch(() => {});
      if (HostConfig.AutoRemove) await exited.catch(() => {});
      throw error;
    }
    if (Config.Tty && cli.out.isTerminal)
      undo.push(followSize(cli, (rows, columns) => client.containers.resize(id, rows, columns)));
    await copied;
    return exitCode(cli, await exited);
  } catch (error) {
    if (error instanceof Detached) return 0;
    throw error;
  } finally {
    for (const step of undo.reverse()) step();
  }
}
