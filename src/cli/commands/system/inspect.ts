import { isCode } from "../../../base/errors.ts";
import type { EngineClient } from "../../../engine/client.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { inspectAll } from "../../format/inspect.ts";
import { goQuote } from "../../format/quote.ts";

type Read = (client: EngineClient, name: string, size: boolean) => Promise<Buffer>;

/** In the order in which a name is looked up. */
const readers: Record<string, Read> = {
  container: (client, name, size) => client.containers.inspectRaw(name, size),
  image: (client, name) => client.images.inspectRaw(name),
  network: (client, name) => client.networks.inspectRaw(name),
  volume: (client, name) => client.volumes.inspectRaw(name),
};

export default defineCommand({
  usage: "NAME|ID [NAME|ID...]",
  arguments: { min: 1 },
  flags: {
    format: string("f", inspectFormatHelp),
    size: bool("s", "Show sizes of containers"),
    type: string("", "Look only among objects of this kind"),
  },
  async run({ cli, args, values, changed }) {
    if (changed.has("type") && values.type === "")
      throw new StatusError(
        1,
        'type is empty: must be one of "config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"',
      );
    if (values.type !== "" && !Object.hasOwn(readers, values.type))
      throw new StatusError(
        1,
        `unknown type: ${goQuote(values.type)}: must be one of "config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"`,
      );
    const client = await cli.client();
    await inspectAll(cli, args, values.format, async (name) => {
      if (values.type !== "") return (await readers[values.type]!(client, name, values.size)).toString();
      for (const read of Object.values(readers)) {
        try {
          return (await read(client, name, values.size)).toString();
        } catch (error) {
          // A name that one kind of object refuses may be another's.
          if (!isCode(error, "not_found") && !isCode(error, "invalid_argument")) throw error;
        }
      }
      throw new StatusError(1, `Error: No such object: ${name}`);
    });
  },
});
