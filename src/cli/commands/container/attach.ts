import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";
import { connectStdio } from "../../streams/hijack.ts";
import { followSize } from "../../streams/resize.ts";
import { forwardSignals } from "../../streams/signals.ts";
import { checkTerminal } from "../../streams/terminal.ts";
import { exitCode } from "./run.ts";

export default defineCommand({
  usage: "CONTAINER",
  arguments: { min: 1, max: 1 },
  flags: {
    "detach-keys": string("", "Keys that leave the container running"),
    "no-stdin": bool("", "Do not connect stdin"),
    "sig-proxy": bool("", "Pass signals on to the process", true),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const { Id: id, Config, State } = await client.containers.inspect(args[0]!);
    if (!State.Running) throw new StatusError(1, "cannot attach to a stopped container, start it first");
    if (State.Paused) throw new StatusError(1, "cannot attach to a paused container, unpause it first");
    if (State.Restarting)
      throw new StatusError(1, "cannot attach to a restarting container, wait until it is running");
    const stdio = { stdin: !values["no-stdin"] && Config.OpenStdin, stdout: true, stderr: true };
    checkTerminal(cli, stdio.stdin, Config.Tty);
    const { exited } = await client.containers.wait(id);
    const undo: Array<() => void> = [];
    if (values["sig-proxy"] && !Config.Tty) undo.push(forwardSignals(client, id));
    try {
      const detachKeys = values["detach-keys"] || cli.config.detachKeys || "";
      const stream = await client.containers.attach(id, { ...stdio, detachKeys });
      if (Config.Tty && cli.out.isTerminal) {
        // A full-screen program redraws only when the size changes: change it for a moment.
        const { rows, columns } = cli.out.size();
        await client.containers.resize(id, rows + 1, columns + 1).catch(() => {});
        undo.push(followSize(cli, (h, w) => client.containers.resize(id, h, w)));
      }
      await connectStdio(cli, stream, { ...stdio, tty: Config.Tty, detachKeys });
    } finally {
      for (const step of undo.reverse()) step();
    }
    return exitCode(cli, await exited);
  },
});
