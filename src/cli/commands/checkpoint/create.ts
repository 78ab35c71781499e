import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";

export default defineCommand({
  usage: "CONTAINER CHECKPOINT",
  arguments: { min: 2, max: 2 },
  flags: {
    "checkpoint-dir": string("", "Directory of the daemon's machine to keep it in"),
    "leave-running": bool("", "The container goes on"),
  },
  async run({ cli, args, values }) {
    const [container, checkpoint] = args as [string, string];
    const client = await cli.client();
    await client.containers.createCheckpoint(container, {
      CheckpointID: checkpoint,
      CheckpointDir: values["checkpoint-dir"],
      Exit: !values["leave-running"],
    });
    cli.out.line(checkpoint);
  },
});
