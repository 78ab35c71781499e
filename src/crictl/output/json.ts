/** Messages and values as JSON: protojson with default values for what a server sent, Go's encoder for what is put together. */
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";

/** A message by its field names, defaults included, in the order in which its fields are declared. */
export function messageValue<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return ordered(schema, toJson(schema, message, { alwaysEmitImplicit: true }));
}

/** The same, with null for each message that is not there: the statuses of the inspect verbs. */
export function statusFields<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
): Record<string, JsonValue> {
  const value = messageValue(schema, message) as Record<string, JsonValue>;
  return Object.fromEntries(schema.fields.map(({ jsonName }) => [jsonName, value[jsonName] ?? null]));
}

/** What `-o json` prints. */
export function messageJson<D extends DescMessage>(schema: D, message: MessageShape<D>): string {
  return JSON.stringify(messageValue(schema, message), null, 2);
}

function ordered(schema: DescMessage, value: JsonValue): JsonValue {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  // Well-known types have forms of their own.
  if (schema.typeName.startsWith("google.protobuf.")) return value;
  const out: Record<string, JsonValue> = {};
  for (const field of schema.fields) {
    const own = value[field.jsonName];
    if (own === undefined) continue;
    const inner = field.message;
    if (field.fieldKind === "map" && !inner) out[field.jsonName] = sorted(own);
    else if (!inner) out[field.jsonName] = own;
    else if (field.fieldKind === "list")
      out[field.jsonName] = (own as JsonValue[]).map((one) => ordered(inner, one));
    else if (field.fieldKind === "map")
      out[field.jsonName] = Object.fromEntries(
        Object.entries(sorted(own) as Record<string, JsonValue>).map(([key, one]) => [
          key,
          ordered(inner, one),
        ]),
      );
    else out[field.jsonName] = ordered(inner, own);
  }
  return out;
}

/** As Go's encoder prints a map: keys sorted at every level, and `<`, `>` and `&` escaped. */
export function goJson(value: JsonValue, indent: number): string {
  return JSON.stringify(sorted(value), null, indent).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key]!)]),
  );
}
