import { defineCommand } from "../../command.ts";
import { int, list, string } from "../../flags/flag.ts";
import { checkLink, toMap } from "../../run/values.ts";

export default defineCommand({
  usage: "NETWORK CONTAINER",
  arguments: { min: 2, max: 2 },
  flags: {
    alias: list("", "Name of the container on the network"),
    "driver-opt": list("", "Option of the driver for this endpoint"),
    "gw-priority": int("", "The highest provides the default gateway"),
    ip: string("", "IPv4 address"),
    ip6: string("", "IPv6 address"),
    link: list("", "Link to another container (name:alias)", checkLink),
    "link-local-ip": list("", "Link-local address"),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const orNull = (texts: string[]) => (texts.length > 0 ? texts : null);
    await client.networks.connect(args[0]!, {
      Container: args[1]!,
      EndpointConfig: {
        IPAMConfig: {
          ...(values.ip === "" ? {} : { IPv4Address: values.ip }),
          ...(values.ip6 === "" ? {} : { IPv6Address: values.ip6 }),
          ...(values["link-local-ip"].length === 0 ? {} : { LinkLocalIPs: values["link-local-ip"] }),
        },
        Links: orNull(values.link),
        Aliases: orNull(values.alias),
        DriverOpts: toMap(values["driver-opt"]),
        GwPriority: values["gw-priority"],
      },
    });
  },
});
