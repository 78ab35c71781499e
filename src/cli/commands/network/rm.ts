import { isCode, messageOf } from "../../../base/errors.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool } from "../../flags/flag.ts";

export default defineCommand({
  usage: "NETWORK [NETWORK...]",
  arguments: { min: 1 },
  flags: { force: bool("f", "A network that is not there is no failure") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    let failed = false;
    for (const name of args) {
      try {
        await client.networks.remove(name);
        cli.out.line(name);
      } catch (error) {
        if (values.force && isCode(error, "not_found")) continue;
        cli.err.line(messageOf(error));
        failed = true;
      }
    }
    if (failed) throw new StatusError(1);
  },
});
