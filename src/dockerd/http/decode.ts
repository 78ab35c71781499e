import { invalid } from "../../base/errors.ts";

/**
 * Go's reading of JSON: keys match whatever their case, `null` leaves a field alone, unknown keys are
 * ignored, wrong types are refused. A shape says which keys belong to structs (and so are matched) and which
 * to maps (and so are kept).
 */
export type Shape =
  | "string"
  | "number"
  | "boolean"
  | "any"
  | "strings"
  | { fields: Readonly<Record<string, Shape>> }
  | { list: Shape }
  | { map: Shape };

/** A list of strings for which clients may send one string: Go's strslice. */
const goNames: Record<string, string> = { string: "string", number: "int64", boolean: "bool" };

/** Parses a body into the canonical spelling of its keys. Nulls vanish. */
export function decode<T>(shape: Shape, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`invalid JSON: ${(error as Error).message}`, error);
  }
  return conform(shape, value, "") as T;
}

/** The same for JSON that is parsed already. */
export function conform(shape: Shape, value: unknown, where: string): unknown {
  if (value === null || value === undefined) return undefined;
  if (shape === "any") return value;
  if (shape === "strings") {
    if (typeof value === "string") return [value];
    return conform({ list: "string" }, value, where);
  }
  if (typeof shape === "string") {
    if (typeof value !== shape) throw mismatch(value, goNames[shape]!, where);
    return value;
  }
  if ("list" in shape) {
    if (!Array.isArray(value)) throw mismatch(value, "[]", where);
    return value.map((item, index) => conform(shape.list, item, `${where}[${index}]`) ?? emptyOf(shape.list));
  }
  if (typeof value !== "object" || Array.isArray(value)) throw mismatch(value, "struct", where);
  if ("map" in shape) {
    const out: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value))
      setOwn(out, key, conform(shape.map, item, join(where, key)) ?? null);
    return out;
  }
  const byLower = lowerNames(shape.fields);
  const out: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = byLower.get(key.toLowerCase());
    if (name === undefined) continue;
    const conformed = conform(shape.fields[name]!, item, join(where, name));
    if (conformed !== undefined) out[name] = conformed;
  }
  return out;
}

/** A key such as `__proto__` is data here. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

const emptyOf = (shape: Shape): unknown =>
  shape === "string" ? "" : shape === "number" ? 0 : shape === "boolean" ? false : null;

const join = (where: string, key: string) => (where === "" ? key : `${where}.${key}`);

const caches = new WeakMap<object, Map<string, string>>();
function lowerNames(fields: Readonly<Record<string, Shape>>): Map<string, string> {
  let names = caches.get(fields);
  if (!names) {
    names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
    caches.set(fields, names);
  }
  return names;
}

function mismatch(value: unknown, wanted: string, where: string) {
  const got = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  const place = where === "" ? "value" : `field ${where}`;
  return invalid(`json: cannot unmarshal ${got} into Go struct ${place} of type ${wanted}`);
}
