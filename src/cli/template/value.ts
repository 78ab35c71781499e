/** How Go sees the values of templates: truth, kinds, comparison, and their printed form (`%v`). */
import { goQuote } from "../format/quote.ts";

/** A row of a list: its fields are what the command line calls them, with Go's name of the type for messages. */
export class Row {
  readonly #typeName: string;
  readonly fields: Record<string, unknown>;
  /** True when an unknown field is a missing key, not an error: the headers of a table are a map. */
  readonly lenient: boolean;
  constructor(typeName: string, fields: Record<string, unknown>, lenient = false) {
    this.#typeName = typeName;
    this.fields = fields;
    this.lenient = lenient;
  }
  get typeName(): string {
    return this.#typeName;
  }
}

/** A missing key of a map: printed so, false in conditions. */
export const noValue = Symbol("no value");

export function truth(value: unknown): boolean {
  if (value === null || value === undefined || value === noValue) return false;
  if (typeof value === "string" || Array.isArray(value)) return value.length > 0;
  if (value instanceof Row) return true;
  if (typeof value === "object") return Object.keys(value).length > 0;
  return Boolean(value);
}

export function kindOf(value: unknown): "nil" | "bool" | "number" | "string" | "list" | "map" | "function" {
  if (value === null || value === undefined || value === noValue) return "nil";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number" || typeof value === "bigint") return "number";
  if (typeof value === "string") return "string";
  if (typeof value === "function") return "function";
  return Array.isArray(value) ? "list" : "map";
}

export function show(value: unknown): string {
  if (value === noValue || value === undefined) return "<no value>";
  if (value === null) return "<nil>";
  if (typeof value === "number" && !Number.isInteger(value)) return floatText(value);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  const entries = Object.entries(value instanceof Row ? value.fields : value);
  return `map[${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${key}:${show(one)}`)
    .join(" ")}]`;
}

function floatText(value: number): string {
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent < -4 || exponent >= 21) return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return String(value);
}

/** JSON as Go's encoder writes it; keys in the order of the object, those of rows sorted. */
export function toJson(value: unknown, escapeHtml = false): string {
  if (value === null || value === undefined || value === noValue) return "null";
  if (value instanceof Row) {
    const names = Object.keys(value.fields)
      .filter((name) => typeof value.fields[name] !== "function")
      .sort();
    // Rows marshal themselves, and that way Go escapes <, > and &.
    return `{${names.map((name) => `${toJson(name)}:${toJson(value.fields[name], true)}`).join(",")}}`;
  }
  if (Array.isArray(value)) return `[${value.map((one) => toJson(one, escapeHtml)).join(",")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, one]) => `${toJson(key, escapeHtml)}:${toJson(one, escapeHtml)}`)
      .join(",")}}`;
  let text = JSON.stringify(value);
  if (typeof value === "string") {
    text = text.replace(/[\u2028\u2029]/g, hexEscape);
    if (escapeHtml) text = text.replace(/[<>&]/g, hexEscape);
  }
  return text;
}

const hexEscape = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** Go's fmt verbs, as far as formats use them. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let next = 0;
  const out = format.replace(
    /%([-+# 0]*)(\d+|\*)?(?:\.(\d+))?(.)/gsu,
    (_, flags: string, widthText: string | undefined, precisionText: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      const width = widthText === "*" ? Number(args[next++]) : Number(widthText ?? 0);
      if (next >= args.length) return `%!${verb}(MISSING)`;
      const value = args[next++];
      const precision = precisionText === undefined ? undefined : Number(precisionText);
      const body = formatVerb(verb, value, flags, precision);
      if (flags.includes("-")) return body.padEnd(width);
      const pad = flags.includes("0") && typeof value === "number" ? "0" : " ";
      return body.startsWith("-") && pad === "0"
        ? `-${body.slice(1).padStart(width - 1, "0")}`
        : body.padStart(width, pad);
    },
  );
  if (next >= args.length) return out;
  const extra = args.slice(next).map((one) => `${goTypeOf(one)}=${show(one)}`);
  return `${out}%!(EXTRA ${extra.join(", ")})`;
}

function formatVerb(verb: string, value: unknown, flags: string, precision: number | undefined): string {
  const kind = kindOf(value);
  const wrong = () => `%!${verb}(${goTypeOf(value)}=${show(value)})`;
  switch (verb) {
    case "v":
      return show(value);
    case "s": {
      if (kind === "number" || kind === "bool") return wrong();
      const text = show(value);
      return precision === undefined ? text : [...text].slice(0, precision).join("");
    }
    case "q":
      return kind === "string" ? goQuote(value as string) : wrong();
    case "d":
      if (kind !== "number" || !Number.isInteger(Number(value))) return wrong();
      return (flags.includes("+") && Number(value) >= 0 ? "+" : "") + String(value);
    case "t":
      return kind === "bool" ? String(value) : wrong();
    case "f":
    case "F":
      return kind === "number" ? Number(value).toFixed(precision ?? 6) : wrong();
    case "g":
      return kind === "number" ? show(value) : wrong();
    case "e":
      return kind === "number"
        ? Number(value)
            .toExponential(precision ?? 6)
            .replace(/e([+-])(\d)$/, "e$10$2")
        : wrong();
    case "x":
    case "X": {
      if (kind !== "number" && kind !== "string") return wrong();
      const hex =
        kind === "number" ? Number(value).toString(16) : Buffer.from(value as string).toString("hex");
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    case "o":
    case "b":
      return kind === "number" ? Number(value).toString(verb === "o" ? 8 : 2) : wrong();
    case "c":
      return kind === "number" ? String.fromCodePoint(Number(value)) : wrong();
    case "T":
      return goTypeOf(value);
    default:
      return wrong();
  }
}

function goTypeOf(value: unknown): string {
  switch (kindOf(value)) {
    case "nil":
      return "<nil>";
    case "bool":
      return "bool";
    case "number":
      return Number.isInteger(value) ? "int" : "float64";
    case "string":
      return "string";
    case "list":
      return "[]interface {}";
    default:
      return "map[string]interface {}";
  }
}
