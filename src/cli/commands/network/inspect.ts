import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { inspectAll } from "../../format/inspect.ts";

export default defineCommand({
  usage: "NETWORK [NETWORK...]",
  arguments: { min: 1 },
  flags: { format: string("f", inspectFormatHelp), verbose: bool("v", "Show more") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await inspectAll(cli, args, values.format, async (name) =>
      (await client.networks.inspectRaw(name, { verbose: values.verbose })).toString(),
    );
  },
});
