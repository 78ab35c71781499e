import { defineCommand } from "../../command.ts";
import { bool, filter } from "../../flags/flag.ts";
import { humanSize } from "../../format/units.ts";
import { cancelled, confirm } from "../each.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    all: bool("a", "Remove unused volumes that have a name, too"),
    filter: filter("", 'Keep what does not match ("label=<label>")'),
    force: bool("f", "Do not ask"),
  },
  async run({ cli, values }) {
    const which = values.all ? "" : "anonymous ";
    const question = `WARNING! This will remove ${which}local volumes not used by at least one container.\nAre you sure you want to continue?`;
    if (!values.force && !(await confirm(cli, question))) throw cancelled();
    const client = await cli.client();
    const filters = values.all ? { ...values.filter, all: ["true"] } : values.filter;
    const { VolumesDeleted, SpaceReclaimed } = await client.volumes.prune(filters);
    if (VolumesDeleted?.length) cli.out.write(`Deleted Volumes:\n${VolumesDeleted.join("\n")}\n\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
  },
});
