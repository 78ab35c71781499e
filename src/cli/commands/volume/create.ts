import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { list, map, string } from "../../flags/flag.ts";
import { checkLabel, toMap } from "../../run/values.ts";

export default defineCommand({
  usage: "[VOLUME]",
  arguments: { max: 1 },
  flags: {
    driver: string("d", "Driver of the volume", "local"),
    label: list("", "Label (key=value)", checkLabel),
    name: { ...string("", "Name of the volume"), hidden: true },
    opt: map("o", "Option of the driver"),
  },
  async run({ cli, args, values }) {
    if (args[0] !== undefined && values.name !== "")
      throw new StatusError(
        1,
        "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
      );
    const client = await cli.client();
    const { Name } = await client.volumes.create({
      Name: args[0] ?? values.name,
      Driver: values.driver,
      DriverOpts: values.opt,
      Labels: toMap(values.label),
    });
    cli.out.line(Name);
  },
});
