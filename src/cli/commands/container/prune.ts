import { defineCommand } from "../../command.ts";
import { bool, filter } from "../../flags/flag.ts";
import { humanSize } from "../../format/units.ts";
import { cancelled, confirm } from "../each.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    filter: filter("", 'Keep what does not match ("until=<timestamp>")'),
    force: bool("f", "Do not ask"),
  },
  async run({ cli, values }) {
    const warning = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
    if (!values.force && !(await confirm(cli, warning))) throw cancelled();
    const client = await cli.client();
    const { ContainersDeleted, SpaceReclaimed } = await client.containers.prune(values.filter);
    if (ContainersDeleted?.length)
      cli.out.write(`Deleted Containers:\n${ContainersDeleted.map((id) => `${id}\n`).join("")}\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
  },
});
