import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";

export default defineCommand({
  usage: "CONTAINER NEW_NAME",
  arguments: { min: 2, max: 2 },
  flags: {},
  async run({ cli, args }) {
    const [from, to] = args.map((arg) => arg.trim()) as [string, string];
    if (from === "" || to === "") throw new StatusError(1, "Error: Neither old nor new names may be empty");
    const client = await cli.client();
    await client.containers.rename(from, to);
  },
});
