import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { inspectAll } from "../../format/inspect.ts";

export default defineCommand({
  usage: "IMAGE [IMAGE...]",
  arguments: { min: 1 },
  flags: { format: string("f", inspectFormatHelp) },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await inspectAll(cli, args, values.format, async (name) =>
      (await client.images.inspectRaw(name)).toString(),
    );
  },
});
