import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { inspectAll } from "../../format/inspect.ts";
import { toJson } from "../../template/value.ts";

export default defineCommand({
  usage: "VOLUME [VOLUME...]",
  arguments: { min: 1 },
  flags: { format: string("f", inspectFormatHelp) },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await inspectAll(cli, args, values.format, async (name) => {
      const volume = JSON.parse((await client.volumes.inspectRaw(name)).toString()) as Record<
        string,
        unknown
      >;
      // Volumes are the one kind docker decodes and writes anew: its fields are in alphabetical order.
      return toJson(Object.fromEntries(Object.entries(volume).sort(([a], [b]) => (a < b ? -1 : 1))), true);
    });
  },
});
