import type { EngineClient } from "../../../engine/client.ts";
import { type Command, defineCommand } from "../../command.ts";
import { int, string } from "../../flags/flag.ts";
import { forEach } from "../each.ts";

type End = EngineClient["containers"]["stop"];

/** A verb that ends containers with a signal and, when that does not do, after a while with another. */
export const endingVerb = (
  end: (client: EngineClient, ...call: Parameters<End>) => Promise<unknown>,
): Command =>
  defineCommand({
    usage: "CONTAINER [CONTAINER...]",
    arguments: { min: 1 },
    flags: {
      signal: string("s", "Signal to send"),
      time: { ...int("", "Seconds to wait before it is killed"), hidden: true },
      timeout: int("t", "Seconds to wait before it is killed"),
    },
    async run({ cli, args, values, changed }) {
      const timeout = changed.has("timeout") ? values.timeout : changed.has("time") ? values.time : undefined;
      const client = await cli.client();
      const options = { signal: values.signal, ...(timeout === undefined ? {} : { timeout }) };
      await forEach(cli, args, (name) => end(client, name, options));
    },
  });
