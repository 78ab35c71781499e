import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { wrap } from "../errors.ts";
import { stopPod } from "../pods.ts";

export const command: VerbBody = {
  argsUsage: "POD-ID [POD-ID...]",
  flags: [],
  async run(call) {
    if (call.args.length === 0) return call.help();
    const runtime = await call.runtime();
    for (const id of call.args) {
      try {
        call.print(await stopPod(runtime, id));
      } catch (error) {
        throw wrap(`stopping the pod sandbox ${goQuote(id)}`, error);
      }
    }
  },
};
