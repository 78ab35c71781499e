import { isCode } from "../../../base/errors.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, filter } from "../../flags/flag.ts";
import { humanSize } from "../../format/units.ts";
import { cancelled, confirm } from "../each.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    all: bool("a", "Remove all unused images, not only those without a name"),
    filter: filter("", 'Keep what does not match ("label=<key>=<value>")'),
    force: bool("f", "Do not ask"),
    volumes: bool("", "Remove anonymous volumes too"),
  },
  async run({ cli, values }) {
    if (values.volumes && values.filter["until"])
      throw new StatusError(1, 'ERROR: The "until" filter is not supported with "--volumes"');
    const removes = [
      "all stopped containers",
      "all networks not used by at least one container",
      ...(values.volumes ? ["all anonymous volumes not used by at least one container"] : []),
      values.all ? "all images without at least one container associated to them" : "all dangling images",
      values.all ? "all build cache" : "unused build cache",
    ];
    const question = `WARNING! This will remove:\n${removes.map((one) => `  - ${one}\n`).join("")}\nAre you sure you want to continue?`;
    if (!values.force && !(await confirm(cli, question))) throw cancelled();
    const client = await cli.client();
    let space = 0;
    const section = (title: string, lines: readonly string[] | null | undefined) => {
      if (lines?.length) cli.out.write(`${title}:\n${lines.join("\n")}\n\n`);
    };
    const containers = await client.containers.prune(values.filter);
    section("Deleted Containers", containers.ContainersDeleted);
    space += containers.SpaceReclaimed;
    section("Deleted Networks", (await client.networks.prune(values.filter)).NetworksDeleted);
    if (values.volumes) {
      const volumes = await client.volumes.prune(values.filter);
      section("Deleted Volumes", volumes.VolumesDeleted);
      space += volumes.SpaceReclaimed;
    }
    const images = await client.images.prune({ ...values.filter, dangling: [values.all ? "false" : "true"] });
    section(
      "Deleted Images",
      images.ImagesDeleted?.map((one) =>
        one.Untagged ? `untagged: ${one.Untagged}` : `deleted: ${one.Deleted}`,
      ),
    );
    space += images.SpaceReclaimed;
    try {
      const cache = await client.system.pruneBuildCache({ all: values.all, filters: values.filter });
      section("Deleted build cache objects", cache.CachesDeleted);
      space += cache.SpaceReclaimed;
    } catch (error) {
      // A daemon without a builder has no cache either.
      if (!isCode(error, "not_found") && !isCode(error, "unimplemented")) throw error;
    }
    cli.out.line(`Total reclaimed space: ${humanSize(space)}`);
  },
});
