import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { saveTo } from "../../streams/save.ts";

export default defineCommand({
  usage: "IMAGE [IMAGE...]",
  arguments: { min: 1 },
  flags: {
    output: string("o", "File to write, in place of stdout"),
    platform: string("", "Save only this platform of images that have several"),
  },
  async run({ cli, args, values }) {
    await saveTo(cli, values.output, async () => {
      const client = await cli.client();
      return (await client.images.save(args, values.platform)).body;
    });
  },
});
