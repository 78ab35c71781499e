import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { inspectAll } from "../../format/inspect.ts";

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: { format: string("f", inspectFormatHelp), size: bool("s", "Show sizes") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await inspectAll(cli, args, values.format, async (name) =>
      (await client.containers.inspectRaw(name, values.size)).toString(),
    );
  },
});
