import { isCode } from "../../../base/errors.ts";
import { defineCommand } from "../../command.ts";
import { bool } from "../../flags/flag.ts";
import { forEach } from "../each.ts";

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: {
    force: bool("f", "Remove it even if it is running (with SIGKILL)"),
    link: bool("l", "Remove the link of this name"),
    volumes: bool("v", "Remove its anonymous volumes too"),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    await forEach(cli, args, async (given) => {
      const name = given.replace(/^\/+|\/+$/g, "");
      if (name === "") throw new Error("container name cannot be empty");
      try {
        await client.containers.remove(name, values);
      } catch (error) {
        if (!values.force || !isCode(error, "not_found")) throw error;
        // Forced, what is not there is said but no failure.
        cli.err.line((error as Error).message);
      }
    });
  },
});
