import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { renderList } from "../../format/list.ts";
import { Row } from "../../template/value.ts";
import { theBuilder } from "./the-builder.ts";

const headers = {
  Name: "NAME/NODE",
  DriverEndpoint: "DRIVER/ENDPOINT",
  Status: "STATUS",
  Buildkit: "BUILDKIT",
  Platforms: "PLATFORMS",
};

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: { format: string("", formatHelp, "table"), "no-trunc": bool("", "Show all of each value") },
  async run({ cli, values }) {
    const builder = await theBuilder(cli);
    const { name, driver, status, version, platforms } = builder;
    const row = (fields: Record<string, string>) => new Row("*commands.lsContext", fields);
    const node = { Status: status, Buildkit: version, Platforms: platforms.join(", ") };
    const rows = [row({ Name: `${name}*`, DriverEndpoint: driver, Status: "", Buildkit: "", Platforms: "" })];
    if (values.format !== "table") {
      const nodes = [
        { Name: name, Endpoint: builder.endpoint, Status: status, Version: version, Platforms: platforms },
      ];
      const one = new Row("*commands.lsContext", {
        Name: name,
        Driver: driver,
        Current: true,
        Nodes: nodes,
        ...node,
      });
      cli.out.write(renderList(values.format, [one], headers));
      return;
    }
    rows.push(row({ Name: ` \\_ ${name}`, DriverEndpoint: ` \\_ ${builder.endpoint}`, ...node }));
    const table = "table {{.Name}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}";
    cli.out.write(renderList(table, rows, headers));
  },
});
