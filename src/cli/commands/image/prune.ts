import { defineCommand } from "../../command.ts";
import { bool, filter } from "../../flags/flag.ts";
import { humanSize } from "../../format/units.ts";
import { cancelled, confirm } from "../each.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    all: bool("a", "Remove all images no container uses, not only those without a name"),
    filter: filter("", 'Keep what does not match ("until=<timestamp>")'),
    force: bool("f", "Do not ask"),
  },
  async run({ cli, values }) {
    const what = values.all ? "images without at least one container associated to them" : "dangling images";
    const question = `WARNING! This will remove all ${what}.\nAre you sure you want to continue?`;
    if (!values.force && !(await confirm(cli, question))) throw cancelled();
    const client = await cli.client();
    const filters = { ...values.filter, dangling: [values.all ? "false" : "true"] };
    const { ImagesDeleted, SpaceReclaimed } = await client.images.prune(filters);
    if (ImagesDeleted?.length) {
      const lines = ImagesDeleted.map((one) =>
        one.Untagged ? `untagged: ${one.Untagged}` : `deleted: ${one.Deleted}`,
      );
      cli.out.write(`Deleted Images:\n${lines.join("\n")}\n\n`);
    }
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
  },
});
