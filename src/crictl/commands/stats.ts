import {
  type ContainerStats,
  ListContainerStatsResponseSchema,
} from "../../../proto/gen/runtime/v1/stats_pb.ts";
import { humanSize } from "../../cli/format/units.ts";
import type { Call, VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { bool, int, string, strings } from "../flags.ts";
import { printMessage } from "../output/message.ts";
import { clearScreen, table, truncated } from "../output/table.ts";
import { cpuPercent } from "../usage.ts";
import { watched } from "../watch.ts";

const header = ["CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES", "SWAP"];

export const command: VerbBody = {
  shortOptions: true,
  argsUsage: "[ID]",
  flags: [
    bool("all,a", "Show all containers (default shows just running)"),
    string("id", "Filter by container id"),
    string("pod,p", "Filter by pod id"),
    strings("label", "Filter by key=value label"),
    string("output,o", "Output format, One of: json|yaml|table"),
    int("seconds,s", "Sample duration for CPU usage in seconds", { initial: 1 }),
    bool("watch,w", "Watch pod resources"),
  ],
  async run(call) {
    if (call.args.length > 1) return call.help();
    const { flags } = call;
    const runtime = await call.runtime();
    const filter = {
      id: flags.text("id") || (call.args[0] ?? ""),
      podSandboxId: flags.text("pod"),
      labelSelector: parseLabels(flags.list("label")),
    };
    const read = async () => {
      const { stats } = await runtime.call((client, options) =>
        client.listContainerStats({ filter }, options),
      );
      return stats.sort((a, b) => ((a.attributes?.id ?? "") < (b.attributes?.id ?? "") ? -1 : 1));
    };
    await doing("get container stats", () => watched(call, flags.is("watch"), () => show(call, read)));
  },
};

async function show(call: Call, read: () => Promise<ContainerStats[]>): Promise<void> {
  const before = await read();
  if (printMessage(call, call.flags.text("output"), ListContainerStatsResponseSchema, { stats: before }))
    return;
  const earlier = new Map(before.map((one) => [one.attributes?.id ?? "", one]));
  await Bun.sleep(call.flags.number("seconds") * 1000);
  const rows: string[][] = [];
  for (const one of await read()) {
    const id = one.attributes?.id ?? "";
    const cpu = one.cpu?.usageCoreNanoSeconds?.value ?? 0n;
    const memory = one.memory?.workingSetBytes?.value ?? 0n;
    const old = earlier.get(id);
    if ((!call.flags.is("all") && cpu === 0n && memory === 0n) || !old) continue;
    rows.push([
      truncated(id),
      one.attributes?.metadata?.name ?? "",
      cpuPercent(one.cpu, old.cpu),
      humanSize(Number(memory)),
      humanSize(Number(one.writableLayer?.usedBytes?.value ?? 0n)),
      String(one.writableLayer?.inodesUsed?.value ?? 0n),
      humanSize(Number(one.swap?.swapUsageBytes?.value ?? 0n)),
    ]);
  }
  call.print(clearScreen + table([header, ...rows]));
}
