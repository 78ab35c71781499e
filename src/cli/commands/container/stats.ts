import { isCode } from "../../../base/errors.ts";
import type { EngineClient } from "../../../engine/client.ts";
import type { ContainerStats } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { chooseFormat, renderList } from "../../format/list.ts";
import { shortId } from "../../format/text.ts";
import { binarySize, humanSize } from "../../format/units.ts";
import { Row } from "../../template/value.ts";

const table =
  "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const headers = {
  Container: "CONTAINER",
  Name: "NAME",
  ID: "CONTAINER ID",
  CPUPerc: "CPU %",
  MemUsage: "MEM USAGE / LIMIT",
  MemPerc: "MEM %",
  NetIO: "NET I/O",
  BlockIO: "BLOCK I/O",
  PIDs: "PIDS",
};
const redrawMilliseconds = 500;

export default defineCommand({
  usage: "[CONTAINER...]",
  arguments: {},
  flags: {
    all: bool("a", "Show those that do not run as well"),
    format: string("", formatHelp),
    "no-stream": bool("", "Show one reading and end"),
    "no-trunc": bool("", "Show ids in full"),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const format = chooseFormat(values.format, cli.config.statsFormat, false, { quiet: "", table });
    const names =
      args.length > 0 ? args : (await client.containers.list({ all: values.all })).map((one) => one.Id);
    if (args.length > 0) for (const name of names) await client.containers.inspect(name);
    const latest = new Map<string, ContainerStats | undefined>(names.map((name) => [name, undefined]));
    const show = () =>
      renderList(
        format,
        [...latest].map(([name, one]) => statsRow(name, one, !values["no-trunc"])),
        headers,
      );
    if (values["no-stream"]) {
      await Promise.all(names.map((name) => readOnce(client, name, latest)));
      cli.out.write(show());
      return;
    }
    const readers = names.map((name) => follow(client, name, latest));
    let running = true;
    void Promise.all(readers).finally(() => {
      running = false;
    });
    while (running) {
      cli.out.write(`\x1b[H\x1b[J${show()}`);
      await Bun.sleep(redrawMilliseconds);
    }
  },
});

type Latest = Map<string, ContainerStats | undefined>;

async function readOnce(client: EngineClient, name: string, latest: Latest): Promise<void> {
  for await (const one of client.containers.stats(name, { stream: false })) latest.set(name, one);
}

async function follow(client: EngineClient, name: string, latest: Latest): Promise<void> {
  try {
    for await (const one of client.containers.stats(name, { stream: true })) latest.set(name, one);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
  latest.delete(name);
}

function statsRow(name: string, stats: ContainerStats | undefined, trunc: boolean): Row {
  const none = "--";
  if (!stats?.id)
    return new Row("*container.statsContext", {
      Container: name,
      Name: none,
      ID: trunc ? shortId(name) : name,
      CPUPerc: none,
      MemUsage: "-- / --",
      MemPerc: none,
      NetIO: none,
      BlockIO: none,
      PIDs: none,
    });
  const { memory_stats: memory, blkio_stats: block } = stats;
  const inactive = memory.stats?.["total_inactive_file"] ?? memory.stats?.["inactive_file"] ?? 0;
  const usage = memory.usage ?? 0;
  const used = inactive < usage ? usage - inactive : usage;
  const limit = memory.limit ?? 0;
  const networks = Object.values(stats.networks ?? {});
  const bytes = (letter: string) =>
    (block?.io_service_bytes_recursive ?? [])
      .filter((one) => one.op.toLowerCase().startsWith(letter))
      .reduce((sum, one) => sum + one.value, 0);
  const total = (pick: (one: (typeof networks)[number]) => number) =>
    networks.reduce((sum, one) => sum + pick(one), 0);
  return new Row("*container.statsContext", {
    Container: name,
    Name: (stats.name ?? "").replace(/^\//, "") || none,
    ID: trunc ? shortId(stats.id) : stats.id,
    CPUPerc: `${cpuPercent(stats).toFixed(2)}%`,
    MemUsage: `${binarySize(used)} / ${binarySize(limit)}`,
    MemPerc: `${(limit === 0 ? 0 : (used / limit) * 100).toFixed(2)}%`,
    NetIO: `${humanSize(
      total((one) => one.rx_bytes),
      3,
    )} / ${humanSize(
      total((one) => one.tx_bytes),
      3,
    )}`,
    BlockIO: `${humanSize(bytes("r"), 3)} / ${humanSize(bytes("w"), 3)}`,
    PIDs: String(stats.pids_stats?.current ?? 0),
  });
}

function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStats): number {
  const own = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const system = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cpus = now.online_cpus || now.cpu_usage.percpu_usage?.length || 0;
  return system > 0 && own > 0 ? (own / system) * cpus * 100 : 0;
}
