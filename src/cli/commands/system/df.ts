import type { ContainerSummary, DiskUsage } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { containerHeaders, containerRow } from "../../format/container.ts";
import { formatHelp } from "../../format/help.ts";
import { firstName, imageHeaders, imageRow } from "../../format/image.ts";
import { chooseFormat, renderList } from "../../format/list.ts";
import { humanSize, since } from "../../format/units.ts";
import { volumeHeaders, volumeRow } from "../../format/volume.ts";
import { Row } from "../../template/value.ts";

const headers = {
  Type: "TYPE",
  TotalCount: "TOTAL",
  Active: "ACTIVE",
  Size: "SIZE",
  Reclaimable: "RECLAIMABLE",
};

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: { format: string("", formatHelp), verbose: bool("v", "Show each object") },
  async run({ cli, values }) {
    const client = await cli.client();
    const usage = await client.system.diskUsage();
    if (values.verbose && (values.format === "" || values.format === "table")) {
      cli.out.write(verbose(usage));
      return;
    }
    const format = chooseFormat(values.format, undefined, false, {
      quiet: "",
      table: "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    });
    cli.out.write(renderList(format, summary(usage), headers));
  },
});

const isActive = ({ State }: ContainerSummary) => ["running", "paused", "restarting"].includes(State);
const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

function summary(usage: DiskUsage): Row[] {
  const images = usage.Images ?? [];
  const containers = usage.Containers ?? [];
  const volumes = (usage.Volumes ?? []).map((one) => one.UsageData ?? { RefCount: 0, Size: -1 });
  const cache = usage.BuildCache ?? [];
  const layers = usage.LayersSize ?? 0;
  const inUse = sum(
    images
      .filter((one) => one.Containers !== 0 && one.Size !== -1 && one.SharedSize !== -1)
      .map((one) => one.Size - one.SharedSize),
  );
  const sized = volumes.filter((one) => one.Size !== -1);
  const containerSize = sum(containers.map((one) => one.SizeRw ?? 0));
  const idle = sum(containers.filter((one) => !isActive(one)).map((one) => one.SizeRw ?? 0));
  const volumeSize = sum(sized.map((one) => one.Size));
  const unused = sum(sized.filter((one) => one.RefCount === 0).map((one) => one.Size));
  const cacheSize = usage.BuilderSize ?? sum(cache.filter((one) => !one.Shared).map((one) => one.Size));
  const cacheInUse = sum(cache.filter((one) => one.InUse && !one.Shared).map((one) => one.Size));
  const row = (Type: string, total: number, active: number, size: number, free: number, percent = true) =>
    new Row("*formatter.diskUsageContext", {
      Type,
      TotalCount: String(total),
      Active: String(active),
      Size: humanSize(size),
      Reclaimable: humanSize(free) + (percent && size > 0 ? ` (${Math.trunc((free * 100) / size)}%)` : ""),
    });
  return [
    row("Images", images.length, images.filter((one) => one.Containers > 0).length, layers, layers - inUse),
    row("Containers", containers.length, containers.filter(isActive).length, containerSize, idle),
    row(
      "Local Volumes",
      volumes.length,
      volumes.filter((one) => one.RefCount > 0).length,
      volumeSize,
      unused,
    ),
    row(
      "Build Cache",
      cache.length,
      cache.filter((one) => one.InUse).length,
      cacheSize,
      cacheSize - cacheInUse,
      false,
    ),
  ];
}

function verbose(usage: DiskUsage): string {
  const images = (usage.Images ?? []).map((one) => imageRow(one, true, ...firstName(one), ""));
  const containers = (usage.Containers ?? []).map((one) => containerRow({ ...one, SizeRootFs: 0 }, true));
  const cache = usage.BuildCache ?? [];
  return [
    "Images space usage:\n\n",
    renderList(
      "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
      images,
      imageHeaders,
    ),
    "\nContainers space usage:\n\n",
    renderList(
      "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
      containers,
      containerHeaders,
    ),
    "\nLocal Volumes space usage:\n\n",
    renderList("table {{.Name}}\t{{.Links}}\t{{.Size}}", (usage.Volumes ?? []).map(volumeRow), volumeHeaders),
    `\nBuild cache usage: ${humanSize(usage.BuilderSize ?? 0)}\n\n`,
    renderList(
      "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
      cache.map(
        (one) =>
          new Row("*formatter.buildCacheContext", {
            ID: `${one.ID.slice(0, 12)}${one.InUse ? "*" : ""}`,
            CacheType: one.Type,
            Size: humanSize(one.Size, 3),
            CreatedSince: since(Date.parse(one.CreatedAt) / 1000),
            LastUsedSince: one.LastUsedAt ? since(Date.parse(one.LastUsedAt) / 1000) : "",
            UsageCount: String(one.UsageCount),
            Shared: String(one.Shared),
          }),
      ),
      {
        ID: "CACHE ID",
        CacheType: "CACHE TYPE",
        Size: "SIZE",
        CreatedSince: "CREATED",
        LastUsedSince: "LAST USED",
        UsageCount: "USAGE",
        Shared: "SHARED",
      },
    ),
  ].join("");
}
