import { defineCommand } from "../../command.ts";
import { bool, custom, filter } from "../../flags/flag.ts";
import { humanSize, parseBytes } from "../../format/units.ts";
import { cancelled, confirm } from "../each.ts";

const bytes = (help: string) => custom<number>("bytes", "", help, 0, (_, raw) => parseBytes(raw), "0");

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    all: bool("a", "Remove all that no build uses, not only what is dangling"),
    filter: filter("", 'Remove only what matches ("until=24h")'),
    force: bool("f", "Do not ask"),
    "keep-storage": bytes("Space that the cache may keep"),
    "reserved-space": bytes("Space that the cache may always keep"),
    "max-used-space": bytes("Space that the cache may use at most"),
    "min-free-space": bytes("Space that is to be free on the disk"),
    verbose: bool("", "Say what was removed"),
  },
  async run({ cli, values }) {
    const what = values.all ? "all build cache" : "all dangling build cache";
    const question = `WARNING! This will remove ${what}. Are you sure you want to continue?`;
    if (!values.force && !(await confirm(cli, question))) throw cancelled();
    const client = await cli.client();
    const { CachesDeleted, SpaceReclaimed } = await client.system.pruneBuildCache({
      all: values.all,
      filters: values.filter,
      keepStorage: values["reserved-space"] || values["keep-storage"],
      maxUsedSpace: values["max-used-space"],
      minFreeSpace: values["min-free-space"],
    });
    if (CachesDeleted?.length)
      cli.out.write(`Deleted build cache objects:\n${CachesDeleted.map((id) => `${id}\n`).join("")}\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
  },
});
