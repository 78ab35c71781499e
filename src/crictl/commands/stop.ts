import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { anyContainer, listContainers } from "../containers.ts";
import { doing, ExitError } from "../errors.ts";
import { bool, int } from "../flags.ts";
import { stopContainer } from "../lifecycle.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID [CONTAINER-ID...]",
  shortOptions: true,
  flags: [
    int("timeout,t", "Seconds to wait to kill the container after a graceful stop is requested"),
    bool("all,a", "Stop all running containers"),
  ],
  async run(call) {
    const { flags } = call;
    const runtime = await call.runtime();
    let ids = [...call.args];
    if (flags.is("all")) {
      if (ids.length > 0) throw new ExitError("cannot specify CONTAINER-ID(s) when using --all", 1);
      const running = await doing("listing containers", () =>
        listContainers(runtime, undefined, { ...anyContainer, state: "running" }),
      );
      if (running.length === 0) return call.print("No running containers found.\n");
      ids = running.map(({ id }) => id);
    } else if (ids.length === 0)
      throw new ExitError("you must specify at least one CONTAINER-ID or use --all", 1);
    for (const id of ids)
      call.print(
        await doing(`stopping the container ${goQuote(id)}`, () =>
          stopContainer(runtime, id, flags.number("timeout")),
        ),
      );
  },
};
