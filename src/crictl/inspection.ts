/** What the inspect verbs share: objects by id or filter, each in the format asked for. */
import type { JsonValue } from "@bufbuild/protobuf";
import type { Call } from "./command.ts";
import { doing, emptyId } from "./errors.ts";
import { bool, type FlagSpec, string } from "./flags.ts";
import { log } from "./log.ts";
import { renderStatus, type StatusData } from "./output/status.ts";

export const inspectFlags: readonly FlagSpec[] = [
  string("output,o", "Output format, One of: json|yaml|go-template|table"),
  bool("quiet,q", "Do not show verbose information"),
  string(
    "template",
    "The template string is only used when output is go-template; The Template format is golang template",
  ),
];

export interface Inspected<T> {
  fetch(id: string, verbose: boolean): Promise<T>;
  value(response: T): JsonValue;
  info(response: T): Readonly<Record<string, string>>;
  table(response: T, verbose: boolean): string;
}

/** `find` gives the ids when none are given. */
export async function inspectAll<T>(
  call: Call,
  find: () => Promise<string[]>,
  failure: string | undefined,
  kind: Inspected<T>,
): Promise<void> {
  const ids = call.args.length > 0 ? [...call.args] : await find();
  if (ids.length === 0) {
    log("error", "No IDs provided or nothing found per filter");
    return call.help();
  }
  const verbose = !call.flags.is("quiet");
  const format = call.flags.text("output") || "json";
  const show = async () => {
    const statuses: StatusData[] = [];
    for (const id of ids) {
      if (id === "") throw emptyId();
      const response = await kind.fetch(id, verbose);
      if (format === "table") call.print(kind.table(response, verbose));
      else statuses.push({ status: kind.value(response), info: kind.info(response) });
    }
    call.print(renderStatus(statuses, format, call.flags.text("template")));
  };
  await (failure === undefined ? show() : doing(failure, show));
}
