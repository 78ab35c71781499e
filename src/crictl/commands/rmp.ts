import { PodSandboxState } from "../../../proto/gen/runtime/v1/sandbox_pb.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { all, doing } from "../errors.ts";
import { bool } from "../flags.ts";
import { idsOf } from "../ids.ts";
import { removePod, stopPod } from "../pods.ts";

export const command: VerbBody = {
  argsUsage: "POD-ID [POD-ID...]",
  shortOptions: true,
  flags: [
    bool("force,f", "Force removal of the pod sandbox, disregarding if running"),
    bool("all,a", "Remove all pods"),
  ],
  async run(call) {
    const runtime = await call.runtime();
    const ids = await idsOf(
      call,
      "pod",
      async () => (await runtime.call((client, options) => client.listPodSandbox({}, options))).items,
    );
    await all(
      ids.map((id) => async () => {
        const { status } = await doing(`getting sandbox status of pod ${goQuote(id)}`, () =>
          runtime.podSandboxStatus(id, false),
        );
        if (status?.state === PodSandboxState.SANDBOX_READY) {
          if (!call.flags.is("force"))
            throw new Error(`pod sandbox ${goQuote(id)} is running, please stop it first`);
          call.print(
            await doing(`stopping the pod sandbox ${goQuote(id)} failed`, () => stopPod(runtime, id)),
          );
        }
        call.print(await doing(`removing the pod sandbox ${goQuote(id)}`, () => removePod(runtime, id)));
      }),
    );
  },
};
