import { defineCommand } from "../../command.ts";
import { bool, filter } from "../../flags/flag.ts";
import { cancelled, confirm } from "../each.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    filter: filter("", 'Keep what does not match ("until=<timestamp>")'),
    force: bool("f", "Do not ask"),
  },
  async run({ cli, values }) {
    const question =
      "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?";
    if (!values.force && !(await confirm(cli, question))) throw cancelled();
    const client = await cli.client();
    const { NetworksDeleted } = await client.networks.prune(values.filter);
    if (NetworksDeleted?.length) cli.out.write(`Deleted Networks:\n${NetworksDeleted.join("\n")}\n\n`);
  },
});
