import {
  RuntimeFeaturesSchema,
  RuntimeHandlerSchema,
  RuntimeStatusSchema,
} from "../../../proto/gen/runtime/v1/status_pb.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { bool, string } from "../flags.ts";
import { messageValue } from "../output/json.ts";
import { renderStatus } from "../output/status.ts";
import { goStruct } from "../output/struct.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [
    string("output,o", "Output format, One of: json|yaml|go-template", { initial: "json" }),
    bool("quiet,q", "Do not show verbose information"),
    string(
      "template",
      "The template string is only used when output is go-template; The Template format is golang template",
    ),
  ],
  async run(call) {
    if (call.args.length > 0) return call.help();
    const { flags } = call;
    const runtime = await call.runtime();
    await doing("getting status of runtime", async () => {
      const response = await runtime.call((client, options) =>
        client.status({ verbose: !flags.is("quiet") }, options),
      );
      if (!response.status || response.status.conditions.length < 2)
        throw new Error("RuntimeReady or NetworkReady condition are not set");
      call.print(
        renderStatus(
          [
            {
              status: messageValue(RuntimeStatusSchema, response.status),
              ...(response.runtimeHandlers.length > 0
                ? {
                    runtimeHandlers: response.runtimeHandlers.map((one) =>
                      goStruct(RuntimeHandlerSchema, one),
                    ),
                  }
                : {}),
              ...(response.features ? { features: goStruct(RuntimeFeaturesSchema, response.features) } : {}),
              info: response.info,
            },
          ],
          flags.text("output"),
          flags.text("template"),
        ),
      );
    });
  },
};
