/** `-o go-template`: a Go template over the JSON of the answer; a key that is missing is an error. */
import type { JsonValue } from "@bufbuild/protobuf";
import { Template } from "../../cli/template/execute.ts";
import { functions } from "../../cli/template/functions.ts";
import { wrap } from "../errors.ts";
import { goJson } from "./json.ts";

const own = {
  ...functions,
  json: (value: unknown) => `${goJson(value as JsonValue, 0)}\n`,
};

export function parseTemplate(source: string, name = "tmplExecuteRawJSON"): Template {
  return new Template(source, name, own);
}

export function renderTemplate(source: string, data: JsonValue): string {
  let template: Template;
  try {
    template = parseTemplate(source);
  } catch (error) {
    throw wrap("failed to generate go-template", error);
  }
  try {
    return template.execute(data, { missingKey: "error" });
  } catch (error) {
    throw wrap("failed to template data", error);
  }
}
