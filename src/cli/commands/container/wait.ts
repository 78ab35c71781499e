import { defineCommand } from "../../command.ts";
import { joinErrors } from "../../errors.ts";

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: {},
  async run({ cli, args }) {
    const client = await cli.client();
    const errors: unknown[] = [];
    for (const name of args) {
      try {
        const { exited } = await client.containers.wait(name);
        cli.out.line(String((await exited).StatusCode));
      } catch (error) {
        errors.push(error);
      }
    }
    const joined = joinErrors(errors);
    if (joined) throw joined;
  },
});
