import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { chooseFormat, writeList } from "../../format/list.ts";
import { ellipsis, shortId } from "../../format/text.ts";
import { rfc3339 } from "../../format/time.ts";
import { humanSize, since } from "../../format/units.ts";
import { Row } from "../../template/value.ts";

/** Times before this are those of images made reproducible, and mean nothing. */
const epoch = Date.UTC(2000, 0, 1) / 1000;

export default defineCommand({
  usage: "IMAGE",
  arguments: { min: 1, max: 1 },
  flags: {
    format: string("", formatHelp),
    human: bool("H", "Show sizes and dates in words", true),
    "no-trunc": bool("", "Show ids and texts in full"),
    quiet: bool("q", "Show only ids"),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const entries = await client.images.history(args[0]!);
    const format = chooseFormat(values.format, undefined, values.quiet, {
      quiet: "{{.ID}}",
      table: `table {{.ID}}\t{{.Created${values.human ? "Since" : "At"}}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`,
    });
    const rows = entries.map((entry) => {
      const at = rfc3339(entry.Created);
      const by = entry.CreatedBy.replaceAll("\t", " ");
      const sinceText = entry.Created <= epoch ? "N/A" : since(entry.Created);
      return new Row("*image.historyContext", {
        ID: values["no-trunc"] ? entry.Id : shortId(entry.Id),
        CreatedAt: at,
        CreatedSince: values.human ? sinceText : at,
        CreatedBy: values["no-trunc"] ? by : ellipsis(by, 45),
        Size: values.human ? humanSize(entry.Size, 3) : String(entry.Size),
        Comment: entry.Comment,
      });
    });
    writeList(cli.out, format, rows, {
      ID: "IMAGE",
      CreatedSince: "CREATED",
      CreatedAt: "CREATED AT",
      CreatedBy: "CREATED BY",
      Size: "SIZE",
      Comment: "COMMENT",
    });
  },
});
