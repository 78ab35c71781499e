import { defineCommand } from "../../command.ts";
import { int, string } from "../../flags/flag.ts";
import { forEach } from "../each.ts";

const seconds = int("t", "Seconds to wait before it is killed");

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: {
    signal: string("s", "Signal to send"),
    time: { ...int("", "Seconds to wait before it is killed"), hidden: true },
    timeout: seconds,
  },
  async run({ cli, args, values, changed }) {
    const timeout = changed.has("timeout") ? values.timeout : changed.has("time") ? values.time : undefined;
    const client = await cli.client();
    const options = { signal: values.signal, ...(timeout === undefined ? {} : { timeout }) };
    await forEach(cli, args, (name) => client.containers.restart(name, options));
  },
});
