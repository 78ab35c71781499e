import { defineCommand } from "../../command.ts";
import { bool, filter, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { chooseFormat, writeList } from "../../format/list.ts";
import { naturalCompare } from "../../format/text.ts";
import { volumeHeaders, volumeRow } from "../../format/volume.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: { filter: filter(), format: string("", formatHelp), quiet: bool("q", "Show only names") },
  async run({ cli, values }) {
    const client = await cli.client();
    const volumes = (await client.volumes.list(values.filter)).Volumes ?? [];
    const format = chooseFormat(values.format, cli.config.volumesFormat, values.quiet, {
      quiet: "{{.Name}}",
      table: "table {{.Driver}}\t{{.Name}}",
      raw: "name: {{.Name}}\\ndriver: {{.Driver}}\\n",
      rawQuiet: "name: {{.Name}}",
    });
    const rows = volumes.sort((a, b) => naturalCompare(a.Name, b.Name)).map(volumeRow);
    writeList(cli.out, format, rows, volumeHeaders);
  },
});
