/** Output of the `inspect` verbs: the daemon's JSON re-indented, compacted, or through a template. */
import type { Cli } from "../cli.ts";
import { joinErrors, StatusError } from "../errors.ts";
import { compactJson } from "../run/security.ts";
import { Template } from "../template/execute.ts";
import { TemplateError } from "../template/lex.ts";
import { noValue } from "../template/value.ts";

/** Fetches each object by `read` and writes them; what could not be read is told after the rest. */
export async function inspectAll(
  cli: Cli,
  names: readonly string[],
  format: string,
  read: (name: string) => Promise<string>,
): Promise<void> {
  let template: Template | undefined;
  if (format !== "" && format !== "json") {
    try {
      template = new Template(format);
    } catch (error) {
      throw error instanceof TemplateError
        ? new StatusError(64, `template parsing error: ${error.message}`)
        : error;
    }
  }
  const errors: unknown[] = [];
  const raw: string[] = [];
  let text = "";
  for (const name of names) {
    try {
      const json = await read(name);
      if (template) text += `${renderTyped(template, JSON.parse(json))}\n`;
      else raw.push(json.trim());
    } catch (error) {
      errors.push(error);
    }
  }
  if (template) cli.out.write(text === "" ? "\n" : text);
  else if (raw.length === 0) cli.out.write("[]\n");
  else {
    const list = `[${raw.map(compactJson).join(",")}]`;
    cli.out.line(format === "json" ? list : indentJson(list));
  }
  const joined = joinErrors(errors);
  if (joined) throw joined;
}

/** A template on JSON that docker would evaluate on the Go struct it was made from. */
export function renderTyped(template: Template, data: unknown): string {
  try {
    return template.execute(data, { missingKey: "error", lookup: typedLookup() });
  } catch (error) {
    throw error instanceof TemplateError
      ? new StatusError(1, `template parsing error: ${error.message}`)
      : error;
  }
}

/** Fields that hold maps: their keys are the user's, so a missing one is no error. */
const mapFields = new Set(
  "Annotations Containers Data Details DriverOpts EndpointsConfig ExposedPorts Labels Networks Options PortBindings Ports StorageOpt Sysctls Tmpfs UsageData Volumes".split(
    " ",
  ),
);

/** Fields the API leaves out when empty, with what Go's structs have in their place. */
const zeroValues: Record<string, unknown> = {
  Annotations: {},
  ExposedPorts: {},
  Health: null,
  Healthcheck: null,
  Init: null,
  MacAddress: "",
  Mounts: [],
  OnBuild: [],
  Shell: [],
  SizeRootFs: null,
  SizeRw: null,
  StopSignal: "",
  StopTimeout: null,
  StorageOpt: {},
  Sysctls: {},
  Tmpfs: {},
  Variant: "",
  Volumes: {},
};

/**
 * Docker evaluates templates on Go structs first: names differ from JSON's in case (`.ID`, `.HostConfig.DNS`),
 * and fields left out have their zero value. This gives the same on the JSON.
 */
function typedLookup(): (of: Record<string, unknown>, name: string) => unknown {
  const maps = new WeakSet<object>();
  return (of, name) => {
    if (maps.has(of)) return Object.hasOwn(of, name) ? of[name] : noValue;
    let key = Object.hasOwn(of, name) ? name : undefined;
    key ??= Object.keys(of).find((one) => one.toLowerCase() === name.toLowerCase());
    if (key === undefined) return Object.hasOwn(zeroValues, name) ? zeroValues[name] : undefined;
    const value = of[key];
    if (mapFields.has(key) && typeof value === "object" && value !== null && !Array.isArray(value))
      maps.add(value);
    return value;
  };
}

/** Four spaces per level, numbers and escapes as the daemon wrote them (Go's json.Indent). */
export function indentJson(compact: string, step = "    "): string {
  let out = "";
  let depth = 0;
  for (const [token] of compact.matchAll(/"(?:[^"\\]|\\.)*"|\[\]|\{\}|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    if (token === "{" || token === "[") out += `${token}\n${step.repeat(++depth)}`;
    else if (token === "}" || token === "]") out += `\n${step.repeat(--depth)}${token}`;
    else if (token === ",") out += `,\n${step.repeat(depth)}`;
    else out += token === ":" ? ": " : token;
  }
  return out;
}
