import { defineCommand } from "../../command.ts";
import { bool, filter, string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { chooseFormat, writeList } from "../../format/list.ts";
import { labelText, naturalCompare, shortId } from "../../format/text.ts";
import { goTimeString } from "../../format/time.ts";
import { Row } from "../../template/value.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    filter: filter(),
    format: string("", formatHelp),
    "no-trunc": bool("", "Show ids in full"),
    quiet: bool("q", "Show only ids"),
  },
  async run({ cli, values }) {
    const client = await cli.client();
    const networks = await client.networks.list(values.filter);
    const format = chooseFormat(values.format, cli.config.networksFormat, values.quiet, {
      quiet: "{{.ID}}",
      table: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
      raw: "network_id: {{.ID}}\\nname: {{.Name}}\\ndriver: {{.Driver}}\\nscope: {{.Scope}}\\n",
      rawQuiet: "network_id: {{.ID}}",
    });
    const rows = networks
      .sort((a, b) => naturalCompare(a.Name, b.Name))
      .map(
        (network) =>
          new Row("*network.networkContext", {
            ID: values["no-trunc"] ? network.Id : shortId(network.Id),
            Name: network.Name,
            Driver: network.Driver,
            Scope: network.Scope,
            IPv4: String(network.EnableIPv4 ?? false),
            IPv6: String(network.EnableIPv6),
            Internal: String(network.Internal),
            Labels: labelText(network.Labels),
            Label: (name: string) => network.Labels?.[name] ?? "",
            get CreatedAt() {
              return goTimeString(network.Created);
            },
          }),
      );
    writeList(cli.out, format, rows, {
      ID: "NETWORK ID",
      Name: "NAME",
      Driver: "DRIVER",
      Scope: "SCOPE",
      IPv4: "IPV4",
      IPv6: "IPV6",
      Internal: "INTERNAL",
      Labels: "LABELS",
      CreatedAt: "CREATED AT",
    });
  },
});
