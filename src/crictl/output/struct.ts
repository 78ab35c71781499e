/** A message as Go's encoder prints its struct, which knows nothing of protobuf: field names, and no empty values. */
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";

export function goStruct<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return renamed(schema, toJson(schema, message));
}

function renamed(schema: DescMessage, value: JsonValue): JsonValue {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const out: Record<string, JsonValue> = {};
  for (const field of schema.fields) {
    const own = value[field.jsonName];
    if (own === undefined) continue;
    const inner = field.message;
    if (!inner) out[field.name] = own;
    else if (Array.isArray(own)) out[field.name] = own.map((one) => renamed(inner, one));
    else out[field.name] = renamed(inner, own);
  }
  return out;
}
