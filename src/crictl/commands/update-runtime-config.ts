import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { string } from "../flags.ts";
import { log } from "../log.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [
    string(
      "pod-cidr,p",
      "The new Classless Inter-Domain Routing (CIDR) value to be used for pod IP addresses. If the CIDR is empty, runtimes should omit it.",
    ),
  ],
  async run(call) {
    if (call.args.length > 0 || !call.flags.any) return call.help();
    const runtime = await call.runtime();
    await doing("update runtime config", () =>
      runtime.call((client, options) =>
        client.updateRuntimeConfig(
          { runtimeConfig: { networkConfig: { podCidr: call.flags.text("pod-cidr") } } },
          options,
        ),
      ),
    );
    log("info", "Runtime config successfully updated");
  },
};
