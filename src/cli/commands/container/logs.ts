import { demultiplex } from "../../../engine/client.ts";
import { defineCommand } from "../../command.ts";
import { bool, string } from "../../flags/flag.ts";
import { timestamp } from "../../format/timestamp.ts";

export default defineCommand({
  usage: "CONTAINER",
  arguments: { min: 1, max: 1 },
  flags: {
    details: bool("", "Show the extra details of log entries"),
    follow: bool("f", "Go on with what is written from now"),
    since: string(
      "",
      "Only what was written after this time (2013-01-02T13:23:37Z, or 42m for 42 minutes ago)",
    ),
    tail: string("n", "How many lines from the end", "all"),
    timestamps: bool("t", "Show the times"),
    until: string(
      "",
      "Only what was written before this time (2013-01-02T13:23:37Z, or 42m for 42 minutes ago)",
    ),
  },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const { Id: id, Config } = await client.containers.inspect(args[0]!);
    const { body } = await client.containers.logs(id, {
      stdout: true,
      stderr: true,
      ...(values.since === "" ? {} : { since: timestamp(values.since) }),
      ...(values.until === "" ? {} : { until: timestamp(values.until) }),
      timestamps: values.timestamps,
      follow: values.follow,
      details: values.details,
      tail: values.tail,
    });
    if (Config.Tty) for await (const chunk of body) await cli.out.pour(chunk);
    else
      for await (const { stream, bytes } of demultiplex(body))
        await (stream === "stderr" ? cli.err : cli.out).pour(bytes);
  },
});
