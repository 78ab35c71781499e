import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { hostPort, naturalCompare } from "../../format/text.ts";
import { isPort } from "../../run/values.ts";

export default defineCommand({
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  arguments: { min: 1, max: 2 },
  flags: {},
  async run({ cli, args }) {
    const [name, wanted] = args as [string, string?];
    const client = await cli.client();
    const ports = (await client.containers.inspect(name)).NetworkSettings.Ports ?? {};
    const lines: string[] = [];
    if (wanted !== undefined && wanted !== "") {
      const [port, proto] = wanted.split("/") as [string, string?];
      if (!isPort(port)) {
        const reason = /^\d+$/.test(port) ? "value out of range" : "invalid syntax";
        throw new StatusError(
          1,
          `Error: invalid port (${port}): strconv.ParseUint: parsing ${JSON.stringify(port)}: ${reason}`,
        );
      }
      const bindings = ports[`${port}/${proto || "tcp"}`] ?? [];
      if (bindings.length === 0)
        throw new StatusError(1, `Error: No public port '${wanted}' published for ${name}`);
      lines.push(...bindings.map((binding) => hostPort(binding.HostIp, binding.HostPort)));
    } else {
      for (const [from, bindings] of Object.entries(ports))
        lines.push(...(bindings ?? []).map((one) => `${from} -> ${hostPort(one.HostIp, one.HostPort)}`));
    }
    if (lines.length > 0) cli.out.line(lines.sort(naturalCompare).join("\n"));
  },
});
