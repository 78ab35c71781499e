import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { doing, emptyId } from "../errors.ts";
import { startContainer } from "../lifecycle.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID [CONTAINER-ID...]",
  flags: [],
  async run(call) {
    if (call.args.length === 0) throw emptyId();
    const runtime = await call.runtime();
    for (const id of call.args)
      call.print(await doing(`starting the container ${goQuote(id)}`, () => startContainer(runtime, id)));
  },
};
