import { ListMetricDescriptorsResponseSchema } from "../../../proto/gen/runtime/v1/stats_pb.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { string } from "../flags.ts";
import { printMessage } from "../output/message.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [string("output,o", "Output format, One of: json|yaml")],
  async run(call) {
    const format = call.flags.text("output") || "json";
    if (call.args.length > 0) return call.help();
    const runtime = await doing("get runtime service", () => call.runtime());
    if (format !== "json" && format !== "yaml") return call.help();
    const response = await doing("get metric descriptors", () =>
      doing("list metric descriptors", () =>
        runtime.call((client, options) => client.listMetricDescriptors({}, options)),
      ),
    );
    printMessage(call, format, ListMetricDescriptorsResponseSchema, response);
  },
};
