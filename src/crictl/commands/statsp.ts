import {
  ListPodSandboxStatsResponseSchema,
  type PodSandboxStats,
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

export const command: VerbBody = {
  shortOptions: true,
  argsUsage: "[ID]",
  flags: [
    string("id", "Filter by pod id"),
    strings("label", "Filter by key=value label"),
    string("output,o", "Output format, One of: json|yaml|table"),
    int("seconds,s", "Sample duration for CPU usage in seconds", { initial: 1 }),
    bool("watch,w", "Watch pod resources"),
  ],
  async run(call) {
    if (call.args.length > 1) return call.help();
    const { flags } = call;
    const runtime = await doing("get runtime service", () => call.runtime());
    const labelSelector = await doing("parse pod labels", () => parseLabels(flags.list("label")));
    const filter = { id: flags.text("id") || (call.args[0] ?? ""), labelSelector };
    const read = () =>
      doing("list pod sandbox stats", async () => {
        const { stats } = await runtime.call((client, options) =>
          client.listPodSandboxStats({ filter }, options),
        );
        return stats.sort((a, b) => ((a.attributes?.id ?? "") < (b.attributes?.id ?? "") ? -1 : 1));
      });
    await doing("get pod stats", () => watched(call, flags.is("watch"), () => show(call, read)));
  },
};

async function show(call: Call, read: () => Promise<PodSandboxStats[]>): Promise<void> {
  const before = await read();
  if (printMessage(call, call.flags.text("output"), ListPodSandboxStatsResponseSchema, { stats: before }))
    return;
  const earlier = new Map(before.map((one) => [one.attributes?.id ?? "", one]));
  await Bun.sleep(call.flags.number("seconds") * 1000);
  const rows: string[][] = [];
  for (const { attributes, linux } of await read()) {
    const id = attributes?.id ?? "";
    const memory = linux?.memory?.workingSetBytes?.value ?? 0n;
    const old = earlier.get(id);
    if (((linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n) === 0n && memory === 0n) || !old) continue;
    rows.push([
      attributes?.metadata?.name ?? "",
      truncated(id),
      cpuPercent(linux?.cpu, old.linux?.cpu),
      humanSize(Number(memory)),
    ]);
  }
  call.print(clearScreen + table([["POD", "POD ID", "CPU %", "MEM"], ...rows]));
}
