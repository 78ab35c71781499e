import { ContainerEventResponseSchema } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { messageOf } from "../../base/errors.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { string } from "../flags.ts";
import { messageValue } from "../output/json.ts";
import { formatMessage } from "../output/message.ts";
import { parseTemplate, renderTemplate } from "../output/template.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [
    string("output,o", "Output format, One of: json|yaml|go-template", { initial: "json" }),
    string(
      "template",
      "The template string is only used when output is go-template; The Template format is golang template",
    ),
  ],
  async run(call) {
    if (call.args.length > 0) return call.help();
    const [format, template] = [call.flags.text("output"), call.flags.text("template")];
    if (format === "json" || format === "yaml") {
      if (template !== "") throw new Error(`template can't be used with ${goQuote(format)} format`);
    } else if (format === "go-template") {
      await doing("failed to parse go-template", () => parseTemplate(template, ""));
    } else throw new Error(`don't support ${goQuote(format)} format`);
    const runtime = await call.runtime();
    await doing("getting container events", async () => {
      const events = runtime.connection.stream((client, options) => client.getContainerEvents({}, options));
      for await (const event of events) {
        try {
          call.print(
            format === "go-template"
              ? `${renderTemplate(template, messageValue(ContainerEventResponseSchema, event))}\n`
              : formatMessage(format, ContainerEventResponseSchema, event)!,
          );
        } catch (error) {
          call.print(`failed to format container event with the error: ${messageOf(error)}\n`);
        }
      }
    });
  },
};
