/** Writes rows by a format: docker's `table`, `json`, `raw` and templates. */
import { StatusError } from "../errors.ts";
import type { Output } from "../streams/output.ts";
import { Template } from "../template/execute.ts";
import { headerFunctions } from "../template/functions.ts";
import { TemplateError } from "../template/lex.ts";
import { Row } from "../template/value.ts";
import { alignColumns } from "./tabwriter.ts";

/** Column headers by field. */
export type Headers = Record<string, string>;

/** `\t` and `\n` written as such are accepted, as docker does. */
export function expandFormat(format: string): { table: boolean; text: string } {
  const table = format.startsWith("table");
  const body = table ? format.slice("table".length) : format === "json" ? "{{json .}}" : format;
  const text = body.replace(/^ +| +$/g, "").replace(/\\[tn]/g, (mark) => (mark === "\\t" ? "\t" : "\n"));
  return { table, text };
}

/** The whole output of a list. */
export function renderList(format: string, rows: readonly Row[], headers: Headers): string {
  const { table, text } = expandFormat(format);
  const template = parseFormat(text);
  const body = rows.map((row) => `${run(template, row)}\n`).join("");
  if (!table) return body;
  const label = (name: string) => (name.split(".").at(-1) ?? "").replace(/[-_]/g, " ");
  const header = new Row("formatter.SubHeaderContext", { ...headers, Label: label }, true);
  return alignColumns(`${headerLine(template, header)}\n${body}`, { minWidth: 10, padding: 3 });
}

export function writeList(out: Output, format: string, rows: readonly Row[], headers: Headers): void {
  out.write(renderList(format, rows, headers));
}

export function parseFormat(text: string): Template {
  try {
    return new Template(text);
  } catch (error) {
    throw wrapped(error);
  }
}

function run(template: Template, row: Row): string {
  try {
    return template.execute(row);
  } catch (error) {
    throw wrapped(error);
  }
}

function wrapped(error: unknown): unknown {
  return error instanceof TemplateError
    ? new StatusError(1, `template parsing error: ${error.message}`)
    : error;
}

/** The header; where a function cannot take a column's name, what was written before it stays out as well. */
function headerLine(template: Template, header: Row): string {
  try {
    return template.execute(header, { functions: headerFunctions });
  } catch {
    return "";
  }
}

/** The format to use: `--format`, else the configured one, else a table; `table` alone is the default table. */
export function chooseFormat(
  given: string,
  configured: string | undefined,
  quiet: boolean,
  defaults: { quiet: string; table: string; raw?: string; rawQuiet?: string },
): string {
  let format = given;
  if (format === "") format = !quiet && configured ? configured : "table";
  if (format === "table") return quiet ? defaults.quiet : defaults.table;
  if (format === "raw" && defaults.raw !== undefined)
    return quiet ? (defaults.rawQuiet ?? defaults.quiet) : defaults.raw;
  return format;
}
