import type { EventMessage } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { filter, string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { renderTyped } from "../../format/inspect.ts";
import { rfc3339Nano } from "../../format/time.ts";
import { timestamp } from "../../format/timestamp.ts";
import { Template } from "../../template/execute.ts";
import { TemplateError } from "../../template/lex.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    filter: filter(),
    format: string("", inspectFormatHelp),
    since: string("", "Show what has happened since this time, too"),
    until: string("", "End at this time"),
  },
  async run({ cli, values }) {
    let template: Template | undefined;
    try {
      if (values.format !== "")
        template = new Template(values.format === "json" ? "{{json .}}" : values.format);
    } catch (error) {
      throw error instanceof TemplateError
        ? new StatusError(64, `Error parsing format: ${error.message}`)
        : error;
    }
    const client = await cli.client();
    const events = client.system.events({
      filters: values.filter,
      ...(values.since === "" ? {} : { since: timestamp(values.since) }),
      ...(values.until === "" ? {} : { until: timestamp(values.until) }),
    });
    for await (const event of events) {
      // As Go writes a map.
      if (event.Actor.Attributes) event.Actor.Attributes = sorted(event.Actor.Attributes);
      cli.out.line(template ? renderTyped(template, event) : eventText(event));
    }
  },
});

const sorted = (attributes: Record<string, string>) =>
  Object.fromEntries(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));

function eventText(event: EventMessage): string {
  // Nanoseconds are beyond 2^53: the shortest text that reads as the number keeps microseconds, its remainder does not.
  const nanoseconds = event.timeNano ? Number(String(event.timeNano).slice(-9)) : 0;
  const time = event.time || Math.trunc((event.timeNano ?? 0) / 1e9);
  const attributes = Object.entries(event.Actor.Attributes ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
  const shown = attributes === "" ? "" : ` (${attributes})`;
  return `${rfc3339Nano(time, nanoseconds)} ${event.Type} ${event.Action} ${event.Actor.ID}${shown}`;
}
