import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { writeList } from "../../format/list.ts";
import { Row } from "../../template/value.ts";

export default defineCommand({
  usage: "CONTAINER",
  arguments: { min: 1, max: 1 },
  flags: { "checkpoint-dir": string("", "Directory of the daemon's machine they are in") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const checkpoints = await client.containers.checkpoints(args[0]!, values["checkpoint-dir"]);
    const rows = checkpoints.map(({ Name }) => new Row("*checkpoint.checkpointContext", { Name }));
    writeList(cli.out, "table {{.Name}}", rows, { Name: "CHECKPOINT NAME" });
  },
});
