import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";

export default defineCommand({
  usage: "CONTAINER CHECKPOINT",
  arguments: { min: 2, max: 2 },
  flags: { "checkpoint-dir": string("", "Directory of the daemon's machine it is in") },
  async run({ cli, args, values }) {
    const [container, checkpoint] = args as [string, string];
    const client = await cli.client();
    await client.containers.removeCheckpoint(container, checkpoint, values["checkpoint-dir"]);
  },
});
