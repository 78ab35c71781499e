import { defineCommand } from "../../command.ts";
import { alignColumns } from "../../format/tabwriter.ts";

export default defineCommand({
  usage: "CONTAINER [ps OPTIONS]",
  arguments: { min: 1 },
  flags: {},
  interspersed: false,
  async run({ cli, args }) {
    const client = await cli.client();
    const { Titles, Processes } = await client.containers.top(args[0]!, args.slice(1).join(" "));
    const lines = [Titles, ...(Processes ?? [])].map((cells) => `${cells.join("\t")}\n`);
    cli.out.write(alignColumns(lines.join(""), { minWidth: 20, padding: 3 }));
  },
});
