import { isCode } from "../../../base/errors.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool } from "../../flags/flag.ts";

export default defineCommand({
  usage: "IMAGE [IMAGE...]",
  arguments: { min: 1 },
  flags: {
    force: bool("f", "Remove it although something uses it"),
    "no-prune": bool("", "Keep parents that have no name"),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const errors: string[] = [];
    let fatal = false;
    for (const name of args) {
      try {
        for (const entry of await client.images.remove(name, {
          force: values.force,
          noPrune: values["no-prune"],
        }))
          cli.out.line(entry.Deleted ? `Deleted: ${entry.Deleted}` : `Untagged: ${entry.Untagged}`);
      } catch (error) {
        if (!isCode(error, "not_found")) fatal = true;
        errors.push((error as Error).message);
      }
    }
    if (errors.length === 0) return;
    // Forced, what is not there is said but no failure.
    if (fatal || !values.force) throw new StatusError(1, errors.join("\n"));
    cli.err.line(errors.join("\n"));
  },
});
