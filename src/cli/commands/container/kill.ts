import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { forEach } from "../each.ts";

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: { signal: string("s", "Signal to send") },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await forEach(cli, args, (name) => client.containers.kill(name, values.signal || undefined));
  },
});
