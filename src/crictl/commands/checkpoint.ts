import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { doing, emptyId } from "../errors.ts";
import { string } from "../flags.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID [CONTAINER-ID...]",
  shortOptions: true,
  flags: [
    string(
      "export,e",
      "Specify the name of the tar archive (/path/to/checkpoint.tar) used to export the checkpoint image.",
    ),
  ],
  async run(call) {
    if (call.args.length === 0) throw emptyId();
    const location = call.flags.text("export");
    if (location === "")
      throw new Error(
        "cannot checkpoint a container without specifying the checkpoint destination. Use --export=/path/to/checkpoint.tar",
      );
    const runtime = await call.runtime();
    for (const id of call.args)
      await doing(`checkpointing the container ${goQuote(id)} failed`, async () => {
        if (id === "") throw emptyId();
        // How long it takes depends on the memory of the container.
        await runtime.unlimited((client, options) =>
          client.checkpointContainer({ containerId: id, location }, options),
        );
        call.print(`${id}\n`);
      });
  },
};
