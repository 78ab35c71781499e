/** The outputs of info and of the inspect verbs: a status beside what else the server tells of the object. */
import type { JsonValue } from "@bufbuild/protobuf";
import { goQuote } from "../../cli/format/quote.ts";
import { wrap } from "../errors.ts";
import { goJson } from "./json.ts";
import { renderTemplate } from "./template.ts";
import { yaml } from "./yaml.ts";

export interface StatusData {
  status: JsonValue;
  runtimeHandlers?: JsonValue;
  features?: JsonValue;
  info: Readonly<Record<string, string>>;
}

/** One object stands alone, several are a list. */
export function renderStatus(statuses: readonly StatusData[], format: string, template: string): string {
  if (statuses.length === 0) return "";
  const values = statuses.map(({ status, runtimeHandlers, features, info }) => ({
    status,
    ...(runtimeHandlers === undefined ? {} : { runtimeHandlers }),
    ...(features === undefined ? {} : { features }),
    ...Object.fromEntries(Object.entries(info).map(([key, text]) => [key, infoValue(text)])),
  }));
  const value: JsonValue = values.length === 1 ? values[0]! : values;
  switch (format) {
    case "json":
      return `${goJson(value, 2)}\n`;
    case "yaml":
      return `${yaml(value)}\n`;
    case "go-template": {
      try {
        return `${renderTemplate(template, value)}\n`;
      } catch (error) {
        throw wrap("execute template", error);
      }
    }
    default:
      throw new Error(`unsupported format: ${goQuote(format)}`);
  }
}

/** Objects are given as JSON text, everything else is a text. */
function infoValue(text: string): JsonValue {
  if (!text.startsWith("{")) return text.replace(/^"+|"+$/g, "");
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw wrap("unmarshal status info JSON", error);
  }
}
