/** The JSON schema of a configuration file, made from the API's description. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";

type Schema = Record<string, unknown>;

export function jsonSchema(root: DescMessage): string {
  const found = new Map<string, Schema>();
  define(root, found);
  const definitions = Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
  const place = root.name.replace(/(?!^)([A-Z])/g, "-$1").toLowerCase();
  return `${JSON.stringify(
    {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: `https://k8s.io/cri-api/pkg/apis/runtime/v1/${place}`,
      $ref: `#/$defs/${root.name}`,
      $defs: definitions,
    },
    null,
    2,
  )}\n`;
}

function define(message: DescMessage, found: Map<string, Schema>): void {
  if (found.has(message.name)) return;
  const schema: Schema = {};
  found.set(message.name, schema);
  const properties: Schema = {};
  for (const field of message.fields) {
    if (field.message) define(field.message, found);
    properties[field.name] = fieldSchema(field);
  }
  Object.assign(schema, { properties, additionalProperties: false, type: "object" });
}

function fieldSchema(field: DescField): Schema {
  if (field.fieldKind === "list") return { items: element(field), type: "array" };
  if (field.fieldKind === "map") return { additionalProperties: element(field), type: "object" };
  return element(field);
}

function element(field: DescField): Schema {
  if (field.message) return { $ref: `#/$defs/${field.message.name}` };
  if (field.enum) return { oneOf: [{ type: "string" }, { type: "integer" }] };
  // ScalarType: 1 double, 2 float, 8 bool, 9 string, 12 bytes (base64 in JSON); the rest are whole numbers.
  switch (field.scalar) {
    case 1:
    case 2:
      return { type: "number" };
    case 8:
      return { type: "boolean" };
    case 9:
    case 12:
      return { type: "string" };
    default:
      return { type: "integer" };
  }
}
