import { defineCommand } from "../../command.ts";
import { bool } from "../../flags/flag.ts";

export default defineCommand({
  usage: "NETWORK CONTAINER",
  arguments: { min: 2, max: 2 },
  flags: { force: bool("f", "Disconnect it by force") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await client.networks.disconnect(args[0]!, { Container: args[1]!, Force: values.force });
  },
});
