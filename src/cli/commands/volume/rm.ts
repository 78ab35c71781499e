import { defineCommand } from "../../command.ts";
import { joinErrors } from "../../errors.ts";
import { bool } from "../../flags/flag.ts";

export default defineCommand({
  usage: "VOLUME [VOLUME...]",
  arguments: { min: 1 },
  flags: { force: bool("f", "A volume that is not there is no failure") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const errors: unknown[] = [];
    for (const name of args) {
      try {
        await client.volumes.remove(name, values.force);
        cli.out.line(name);
      } catch (error) {
        errors.push(error);
      }
    }
    const joined = joinErrors(errors);
    if (joined) throw joined;
  },
});
