/**
 * crictl.yaml: a flat list of options. Lines we do not change are kept as they are, comments included.
 */
import { fs, path } from "../base/lazy.ts";
import { parseBool, parseInteger } from "../cli/flags/flag.ts";
import { goQuote } from "../cli/format/quote.ts";
import { wrap } from "./errors.ts";

export interface ConfigOptions {
  "runtime-endpoint": string;
  "image-endpoint": string;
  /** Seconds. */
  timeout: number;
  debug: boolean;
  "pull-image-on-create": boolean;
  "disable-pull-on-run": boolean;
  "max-retries": number;
}

/** The file's text and what it says. */
export interface ConfigFile {
  text: string;
  options: ConfigOptions;
}

export const emptyOptions = (): ConfigOptions => ({
  "runtime-endpoint": "",
  "image-endpoint": "",
  timeout: 0,
  debug: false,
  "pull-image-on-create": false,
  "disable-pull-on-run": false,
  "max-retries": 0,
});

export const isOption = (name: string): name is keyof ConfigOptions => Object.hasOwn(emptyOptions(), name);

/** Puts a text into an option; throws what Go's conversion says. */
export function setOption(options: ConfigOptions, name: keyof ConfigOptions, raw: string): void {
  const all = options as unknown as Record<string, string | number | boolean>;
  switch (typeof all[name]) {
    case "number":
      try {
        all[name] = parseInteger(raw);
      } catch {
        throw new Error(`strconv.Atoi: parsing ${goQuote(raw)}: invalid syntax`);
      }
      break;
    case "boolean":
      all[name] = parseBool(raw);
      break;
    default:
      all[name] = raw;
  }
}

export function readConfig(file: string): ConfigFile {
  const text = fs().readFileSync(file, "utf8");
  return { text, options: parseConfig(text) };
}

export function parseConfig(text: string): ConfigOptions {
  const options = emptyOptions();
  const parsed: unknown = Bun.YAML.parse(text);
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return options;
  for (const name of Object.keys(parsed)) {
    if (!isOption(name)) throw new Error(`Config option '${name}' is not valid`);
    const value = (parsed as Record<string, unknown>)[name];
    try {
      setOption(options, name, value === null || value === undefined ? "" : String(value));
    } catch (error) {
      throw wrap(`parsing config option '${name}'`, error);
    }
  }
  return options;
}

/** Writes all options, those that the text has in their places and the others behind them. */
export function writeConfig(file: string, { text, options }: ConfigFile): void {
  fs().mkdirSync(path().dirname(file), { recursive: true, mode: 0o755 });
  fs().writeFileSync(file, updated(text, options), { mode: 0o600 });
}

export function updated(text: string, options: ConfigOptions): string {
  let out = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  // The empty document that some tools leave.
  if (/^\s*(\{\}|null)\s*$/.test(out)) out = "";
  for (const [name, value] of Object.entries(options)) {
    const shown = typeof value === "string" ? quoted(value) : String(value);
    const line = new RegExp(
      `^(${name}[ \\t]*:)[ \\t]*("(?:[^"\\\\]|\\\\.)*"|'(?:[^']|'')*'|[^#\\n]*?)([ \\t]+#.*)?$`,
      "gm",
    );
    const found = line.test(out);
    line.lastIndex = 0;
    if (found) out = out.replace(line, (_, head, __, comment = "") => `${head} ${shown}${comment}`);
    else out += `${name}: ${shown}\n`;
  }
  return out;
}

const quoted = (value: string) =>
  /^[A-Za-z/][\w./:@-]*$/.test(value) &&
  !/:$/.test(value) &&
  !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value);
