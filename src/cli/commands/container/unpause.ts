import { defineCommand } from "../../command.ts";
import { forEach } from "../each.ts";

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: {},
  async run({ cli, args }) {
    const client = await cli.client();
    await forEach(cli, args, (name) => client.containers.unpause(name));
  },
});
