import { defineCommand } from "../../command.ts";
import { bool } from "../../flags/flag.ts";
import { theBuilder } from "./the-builder.ts";

export default defineCommand({
  usage: "[NAME]",
  arguments: { max: 1 },
  flags: { bootstrap: bool("", "Start the builder first (it runs with the daemon)") },
  async run({ cli, args }) {
    const builder = await theBuilder(cli, args[0]);
    const lines: Array<[name: string, value: string]> = [
      ["Name", builder.name],
      ["Driver", builder.driver],
      ["", ""],
      ["Nodes", ""],
      ["Name", builder.name],
      ["Endpoint", builder.endpoint],
    ];
    if (builder.error !== "") lines.push(["Error", builder.error]);
    else {
      lines.push(["Status", builder.status], ["BuildKit version", builder.version]);
      lines.push(["Platforms", builder.platforms.join(", ")]);
    }
    const width = Math.max(...lines.map(([name]) => name.length)) + 2;
    for (const [name, value] of lines)
      cli.out.line(name === "" ? "" : `${`${name}:`.padEnd(width)}${value}`.trimEnd());
    return builder.error === "" ? 0 : 1;
  },
});
