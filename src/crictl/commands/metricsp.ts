import { ListPodSandboxMetricsResponseSchema } from "../../../proto/gen/runtime/v1/stats_pb.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { bool, string } from "../flags.ts";
import { printMessage } from "../output/message.ts";
import { watched } from "../watch.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [string("output,o", "Output format, One of: json|yaml"), bool("watch,w", "Watch pod metrics")],
  async run(call) {
    const format = call.flags.text("output") || "json";
    if (call.args.length > 0) return call.help();
    const runtime = await doing("get runtime service", () => call.runtime());
    if (format !== "json" && format !== "yaml") return call.help();
    await doing("get pod metrics", () =>
      watched(call, call.flags.is("watch"), async () => {
        const response = await doing("list pod sandbox metrics", () =>
          runtime.call((client, options) => client.listPodSandboxMetrics({}, options)),
        );
        printMessage(call, format, ListPodSandboxMetricsResponseSchema, response);
      }),
    );
  },
};
