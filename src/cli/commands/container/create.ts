import { defineCommand } from "../../command.ts";
import { bodyOf, createContainer } from "../../run/create.ts";
import { containerFlags, createFlags } from "../../run/flags.ts";

export default defineCommand({
  usage: "IMAGE [COMMAND] [ARG...]",
  arguments: { min: 1 },
  flags: { ...containerFlags, ...createFlags },
  interspersed: false,
  ownsShortHelp: true,
  async run({ cli, args, values, changed }) {
    const body = await bodyOf(cli, "create", values, changed, args);
    const client = await cli.quickClient();
    cli.out.line(await createContainer(cli, client, body, values));
  },
});
