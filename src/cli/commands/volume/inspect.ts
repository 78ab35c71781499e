import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { inspectAll } from "../../format/inspect.ts";

export default defineCommand({
  usage: "VOLUME [VOLUME...]",
  arguments: { min: 1 },
  flags: { format: string("f", inspectFormatHelp) },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await inspectAll(cli, args, values.format, async (name) =>
      (await client.volumes.inspectRaw(name)).toString(),
    );
  },
});
