import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Call } from "../command.ts";
import { messageJson, messageValue } from "./json.ts";
import { yaml } from "./yaml.ts";

/** Prints a message in the format asked for; false when that is neither json nor yaml. */
export function printMessage<D extends DescMessage>(
  call: Pick<Call, "print">,
  format: string,
  schema: D,
  message: MessageInitShape<D>,
): boolean {
  const text = formatMessage(format, schema, message);
  if (text === undefined) return false;
  call.print(text);
  return true;
}

export function formatMessage<D extends DescMessage>(
  format: string,
  schema: D,
  message: MessageInitShape<D>,
): string | undefined {
  const whole = create(schema, message);
  if (format === "json") return `${messageJson(schema, whole)}\n`;
  if (format === "yaml") return `${yaml(messageValue(schema, whole))}\n`;
  return undefined;
}
