import { defineCommand } from "../../command.ts";
import { bool, filter, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { imageHeaders, imageRaw, imageRows, imageTable, imageTableWithDigest } from "../../format/image.ts";
import { chooseFormat, writeList } from "../../format/list.ts";

export default defineCommand({
  usage: "[REPOSITORY[:TAG]]",
  arguments: { max: 1 },
  flags: {
    all: bool("a", "Show intermediate images too"),
    digests: bool("", "Show digests"),
    filter: filter(),
    format: string("", formatHelp),
    "no-trunc": bool("", "Show ids in full"),
    quiet: bool("q", "Show only ids"),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const filters = args[0] === undefined ? values.filter : { ...values.filter, reference: [args[0]] };
    const images = await client.images.list({ all: values.all, filters });
    let format = chooseFormat(values.format, cli.config.imagesFormat, values.quiet, {
      quiet: "{{.ID}}",
      table: values.digests ? imageTableWithDigest : imageTable,
      raw: imageRaw(values.digests),
      rawQuiet: "image_id: {{.ID}}",
    });
    const custom = values.format.startsWith("table") && values.format !== "table";
    if (custom && values.digests && !format.includes("{{.Digest}}")) format += "\t{{.Digest}}";
    const wantsDigest = values.digests || format.includes("{{.Digest}}");
    const rows = images.flatMap((image) =>
      imageRows(image, { trunc: !values["no-trunc"], digests: values.digests, wantsDigest }),
    );
    writeList(cli.out, format, rows, imageHeaders);
  },
});
