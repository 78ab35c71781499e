import type { BuildCacheRecord } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, filter, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { renderList } from "../../format/list.ts";
import { humanSize, since } from "../../format/units.ts";
import { Row } from "../../template/value.ts";

const headers = {
  ID: "ID",
  Parents: "PARENTS",
  CreatedAt: "CREATED AT",
  Mutable: "MUTABLE",
  Reclaimable: "RECLAIMABLE",
  Shared: "SHARED",
  Size: "SIZE",
  Description: "DESCRIPTION",
  UsageCount: "USAGE COUNT",
  LastUsedAt: "LAST USED",
  Type: "TYPE",
};
const table = "table {{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{if .LastUsedAt}}{{ .LastUsedAt }}{{end}}";
const tableHeaders = { ...headers, LastUsedAt: "LAST ACCESSED" };

const ago = (time: string) => since(Date.parse(time) / 1000);
/** Directories of `RUN --mount=type=cache` change; all else is as it was made. */
const isMutable = ({ Type }: BuildCacheRecord) => Type === "exec.cachemount";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    filter: filter("", 'Show only what matches ("type=regular")'),
    format: string("", formatHelp),
    verbose: bool("", 'Show all that is known of each record (--format "pretty")'),
  },
  async run({ cli, values }) {
    if (values.format !== "" && values.verbose)
      throw new StatusError(1, "ERROR: --format and --verbose cannot be used together");
    const accepts = acceptedBy(values.filter);
    const client = await cli.client();
    const all = ((await client.system.diskUsage()).BuildCache ?? []).filter(accepts);
    all.sort((a, b) => b.Size - a.Size);
    const format = values.verbose ? "pretty" : values.format || "table";
    if (format === "pretty") for (const record of all) cli.out.write(pretty(record));
    else if (format === "table")
      cli.out.write(
        renderList(
          table,
          all.map((one) => rowOf(one, true)),
          tableHeaders,
        ),
      );
    else
      cli.out.write(
        renderList(
          format,
          all.map((one) => rowOf(one, format.startsWith("table"))),
          headers,
        ),
      );
    // The sums are those of all there is.
    if (["pretty", "table"].includes(format) && Object.keys(values.filter).length === 0)
      cli.out.write(summary(all));
  },
});

function rowOf(record: BuildCacheRecord, marks: boolean): Row {
  return new Row("*commands.diskusageContext", {
    ID: `${record.ID}${marks && isMutable(record) ? "*" : ""}`,
    Parents: record.Parents ?? [],
    CreatedAt: record.CreatedAt,
    Mutable: isMutable(record),
    Reclaimable: !record.InUse,
    Shared: record.Shared,
    Size: `${humanSize(record.Size)}${marks && record.Shared ? "*" : ""}`,
    Description: record.Description,
    UsageCount: record.UsageCount,
    LastUsedAt: record.LastUsedAt ? ago(record.LastUsedAt) : "",
    Type: record.Type,
  });
}

function pretty(record: BuildCacheRecord): string {
  const lines: Array<[name: string, value: unknown]> = [["ID", record.ID]];
  if (record.Parents?.length) lines.push(["Parents", record.Parents.join(", ")]);
  lines.push(["Created at", record.CreatedAt], ["Mutable", isMutable(record)]);
  lines.push(["Reclaimable", !record.InUse], ["Shared", record.Shared], ["Size", humanSize(record.Size)]);
  if (record.Description) lines.push(["Description", record.Description]);
  lines.push(["Usage count", record.UsageCount]);
  if (record.LastUsedAt) lines.push(["Last used", ago(record.LastUsedAt)]);
  if (record.Type) lines.push(["Type", record.Type]);
  return `${aligned(lines.map(([name, value]) => [`${name}:`, String(value)]))}\n`;
}

function summary(all: readonly BuildCacheRecord[]): string {
  const total = (list: readonly BuildCacheRecord[]) =>
    humanSize(list.reduce((sum, record) => sum + record.Size, 0));
  const shared = all.filter((record) => record.Shared);
  return aligned([
    ...(shared.length > 0
      ? [
          ["Shared:", total(shared)],
          ["Private:", total(all.filter((record) => !record.Shared))],
        ]
      : []),
    ["Reclaimable:", total(all.filter((record) => !record.InUse))],
    ["Total:", total(all)],
  ]);
}

/** Aligned by tabs, as Go's tabwriter does when it is told to pad with them. */
function aligned(rows: readonly string[][]): string {
  const stops = Math.ceil((Math.max(...rows.map(([name = ""]) => name.length)) + 1) / 8);
  return rows
    .map(([name = "", value = ""]) => `${name}${"\t".repeat(stops - Math.floor(name.length / 8))}${value}\n`)
    .join("");
}

/** `id=prefix`, `type=`, `inuse`, `shared`, …: one value of each. */
function acceptedBy(filters: Record<string, string[]>): (record: BuildCacheRecord) => boolean {
  const tests = Object.entries(filters).map(([key, values]) => {
    if (values.length > 1) throw new StatusError(1, `ERROR: "${key}" filter expects only one value`);
    const value = values[0] ?? "";
    const yes = value !== "false" && value !== "0";
    const known: Record<string, (record: BuildCacheRecord) => boolean> = {
      id: ({ ID }) => ID.startsWith(value),
      parent: ({ Parents }) => Parents?.includes(value) ?? false,
      type: ({ Type }) => Type === value,
      description: ({ Description }) => Description === value,
      "description~": ({ Description }) => Description.includes(value),
      inuse: ({ InUse }) => InUse === yes,
      shared: ({ Shared }) => Shared === yes,
      private: ({ Shared }) => Shared !== yes,
      mutable: (record) => isMutable(record) === yes,
      immutable: (record) => isMutable(record) !== yes,
    };
    const test = Object.hasOwn(known, key) ? known[key] : undefined;
    if (!test) throw new StatusError(1, `ERROR: unknown filter "${key}"`);
    return test;
  });
  return (record) => tests.every((test) => test(record));
}
