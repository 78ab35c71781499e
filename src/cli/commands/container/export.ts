import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { saveTo } from "../../streams/save.ts";

export default defineCommand({
  usage: "CONTAINER",
  arguments: { min: 1, max: 1 },
  flags: { output: string("o", "File to write, in place of stdout") },
  async run({ cli, args, values }) {
    await saveTo(cli, values.output, async () => {
      const client = await cli.client();
      return (await client.containers.export(args[0]!)).body;
    });
  },
});
