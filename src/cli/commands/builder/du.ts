import { defineCommand } from "../../command.ts";
import { bool } from "../../flags/flag.ts";
import { alignColumns } from "../../format/tabwriter.ts";
import { humanSize, since } from "../../format/units.ts";

const ago = (time: string) => since(Date.parse(time) / 1000);

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: { verbose: bool("", "Show all that is known of each record") },
  async run({ cli, values }) {
    const client = await cli.client();
    const records = (await client.system.diskUsage()).BuildCache ?? [];
    records.sort((a, b) => b.Size - a.Size);
    const size = (record: (typeof records)[number]) => `${humanSize(record.Size)}${record.Shared ? "*" : ""}`;
    if (values.verbose)
      for (const record of records) {
        cli.out.line(`ID:\t\t${record.ID}`);
        if (record.Parents?.length) cli.out.line(`Parents:\t${record.Parents.join(", ")}`);
        cli.out.line(`Created at:\t${record.CreatedAt}`);
        cli.out.line(`Reclaimable:\t${!record.InUse}`);
        cli.out.line(`Shared:\t\t${record.Shared}`);
        cli.out.line(`Size:\t\t${size(record)}`);
        cli.out.line(`Description:\t${record.Description}`);
        cli.out.line(`Usage count:\t${record.UsageCount}`);
        if (record.LastUsedAt) cli.out.line(`Last used:\t${ago(record.LastUsedAt)}`);
        cli.out.line(`Type:\t\t${record.Type}\n`);
      }
    else
      cli.out.write(
        alignColumns(
          [
            ["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"],
            ...records.map((record) => [
              record.ID,
              String(!record.InUse),
              size(record),
              record.LastUsedAt ? ago(record.LastUsedAt) : "",
            ]),
          ]
            .map((row) => `${row.join("\t")}\n`)
            .join(""),
          { minWidth: 8, padding: 8 },
        ),
      );
    const total = (list: typeof records) => humanSize(list.reduce((sum, record) => sum + record.Size, 0));
    const shared = records.filter((record) => record.Shared);
    if (shared.length > 0) {
      cli.out.line(`Shared:\t\t${total(shared)}`);
      cli.out.line(`Private:\t${total(records.filter((record) => !record.Shared))}`);
    }
    cli.out.line(`Reclaimable:\t${total(records.filter((record) => !record.InUse))}`);
    cli.out.line(`Total:\t\t${total(records)}`);
  },
});
