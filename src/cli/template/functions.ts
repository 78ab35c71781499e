/** The functions of templates: Go's built-in ones and those docker adds. Errors are plain; the caller adds the place. */
import { kindOf, noValue, show, sprintf, toJson, truth } from "./value.ts";

export type TemplateFunction = (...args: unknown[]) => unknown;

const text = (value: unknown, name: string): string => {
  if (typeof value === "string") return value;
  throw new Error(`wrong type for value; expected string; got ${goName(value)} in ${name}`);
};
const list = (value: unknown): unknown[] => {
  if (Array.isArray(value)) return value;
  if (value === null || value === noValue) return [];
  throw new Error(`wrong type for value; expected []string; got ${goName(value)}`);
};
const number = (value: unknown): number => {
  if (typeof value === "number") return value;
  throw new Error(`wrong type for value; expected int; got ${goName(value)}`);
};
const goName = (value: unknown) => {
  const kind = kindOf(value);
  return {
    nil: "nil",
    bool: "bool",
    number: "int",
    string: "string",
    list: "[]interface {}",
    map: "map[string]interface {}",
    function: "func",
  }[kind];
};

function compare(a: unknown, b: unknown): number {
  const [left, right] = [kindOf(a), kindOf(b)];
  if (left !== right) throw new Error("incompatible types for comparison");
  if (left !== "number" && left !== "string") throw new Error("invalid type for comparison");
  const [x, y] = [a as number | string, b as number | string];
  return x < y ? -1 : x > y ? 1 : 0;
}

function equal(a: unknown, b: unknown): boolean {
  const [left, right] = [kindOf(a), kindOf(b)];
  if (left === "nil" || right === "nil") return left === right;
  if (left !== right) throw new Error("incompatible types for comparison");
  if (left === "list" || left === "map") throw new Error("non-comparable type");
  return a === b;
}

function index(item: unknown, ...keys: unknown[]): unknown {
  let current = item;
  for (const key of keys) {
    if (Array.isArray(current) || typeof current === "string") {
      const at = number(key);
      if (at < 0 || at >= current.length) throw new Error(`error calling index: index out of range: ${at}`);
      current = typeof current === "string" ? Buffer.from(current)[at] : current[at];
    } else if (kindOf(current) === "map") {
      if (typeof key !== "string")
        throw new Error(`error calling index: value has type ${goName(key)}; should be string`);
      const map = current as Record<string, unknown>;
      current = Object.hasOwn(map, key) ? map[key] : noValue;
    } else if (kindOf(current) === "nil") {
      throw new Error("error calling index: index of untyped nil");
    } else {
      throw new Error(`error calling index: can't index item of type ${goName(current)}`);
    }
  }
  return current;
}

function slice(item: unknown, ...bounds: unknown[]): unknown {
  if (typeof item !== "string" && !Array.isArray(item))
    throw new Error(`error calling slice: can't slice item of type ${goName(item)}`);
  const source = typeof item === "string" ? Buffer.from(item) : item;
  const [from, to] = [bounds[0] ?? 0, bounds[1] ?? source.length].map(number) as [number, number];
  if (from < 0 || to > source.length || from > to)
    throw new Error(
      `error calling slice: index out of range: ${from < 0 || from > source.length ? from : to}`,
    );
  return typeof item === "string" ? source.slice(from, to).toString() : item.slice(from, to);
}

function length(item: unknown): number {
  if (typeof item === "string") return Buffer.byteLength(item);
  if (Array.isArray(item)) return item.length;
  if (kindOf(item) === "map") return Object.keys(item as object).length;
  throw new Error(
    `error calling len: len of ${kindOf(item) === "nil" ? "nil pointer" : `type ${goName(item)}`}`,
  );
}

/** Go's Sprint: a space between operands when neither is a string. */
function print(...args: unknown[]): string {
  return args.reduce<string>((out, arg, at) => {
    const gap = at > 0 && typeof arg !== "string" && typeof args[at - 1] !== "string" ? " " : "";
    return out + gap + show(arg);
  }, "");
}

const htmlEscapes: Record<string, string> = {
  '"': "&#34;",
  "'": "&#39;",
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
};

/** `and` and `or` are here by name only: the evaluation stops them early. */
export const functions: Record<string, TemplateFunction> = {
  and: (...args) => args.find((arg) => !truth(arg)) ?? args.at(-1),
  or: (...args) => args.find((arg) => truth(arg)) ?? args.at(-1),
  not: (value) => !truth(value),
  eq: (first, ...others) => {
    if (others.length === 0) throw new Error("missing argument for comparison");
    return others.some((other) => equal(first, other));
  },
  ne: (a, b) => !equal(a, b),
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  index,
  slice,
  len: length,
  print,
  printf: (format, ...args) => sprintf(text(format, "printf"), args),
  println: (...args) => `${args.map(show).join(" ")}\n`,
  html: (...args) => print(...args).replace(/["'&<>]/g, (char) => htmlEscapes[char]!),
  urlquery: (...args) => encodeURIComponent(print(...args)).replaceAll("%20", "+"),
  js: (...args) => JSON.stringify(print(...args)).slice(1, -1),
  json: (value) => toJson(value),
  split: (value, separator) => {
    const [source, by] = [text(value, "split"), text(separator, "split")];
    return by === "" ? [...source] : source.split(by);
  },
  join: (values, separator) =>
    list(values)
      .map((value) => text(value, "join"))
      .join(text(separator, "join")),
  title: (value) =>
    text(value, "title").replace(
      /(^|[^\p{L}\p{N}_'])(\p{L})/gu,
      (_, before, letter) => before + letter.toUpperCase(),
    ),
  lower: (value) => text(value, "lower").toLowerCase(),
  upper: (value) => text(value, "upper").toUpperCase(),
  pad: (value, before, after) => {
    const source = text(value, "pad");
    if (source === "") return "";
    // A bound no sensible format reaches: the width comes from the user.
    const spaces = (count: unknown) => " ".repeat(Math.min(Math.max(number(count), 0), 100_000));
    return spaces(before) + source + spaces(after);
  },
  truncate: (value, limit) => {
    const source = Buffer.from(text(value, "truncate"));
    return source.length < number(limit) ? source.toString() : source.subarray(0, number(limit)).toString();
  },
};

/** For the header of a table the column's name goes through unchanged, except for alignment. */
export const headerFunctions: Record<string, TemplateFunction> = {
  ...functions,
  ...Object.fromEntries(
    ["json", "split", "join", "title", "lower", "upper", "truncate"].map((name) => [
      name,
      (value: unknown) => value,
    ]),
  ),
};
