/**
 * `google.protobuf.Any` the way Go's typeurl writes it: the message's bare full name (no
 * "type.googleapis.com/"), and for plain Go structs a URL below types.containerd.io with the JSON as value.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { OptionsSchema as RuntimeOptionsSchema } from "../../proto/gen/runtimeoptions/v1/api_pb.ts";
import { invalid } from "../base/errors.ts";
import type { Process, Spec } from "../oci/runtime-spec.ts";
import { encodeSpec } from "../oci/spec-text.ts";

const specUrl = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const processUrl = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/** Packs a message under its bare name. */
export function packAny<T extends DescMessage>(schema: T, value: MessageInitShape<T>): Any {
  const message = create(schema, value);
  return create(AnySchema, { typeUrl: schema.typeName, value: toBinary(schema, message) });
}

/** The message in `any`, or undefined when it holds another type. */
export function unpackAny<T extends DescMessage>(
  schema: T,
  any: Any | undefined,
): MessageShape<T> | undefined {
  if (!any || bareName(any.typeUrl) !== schema.typeName) return undefined;
  return fromBinary(schema, any.value);
}

/** The full message name in a type URL, with or without a prefix. */
export const bareName = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf("/") + 1);

/** The spec is not to be changed from now on: in one process it goes along with its bytes. */
export const packSpec = (spec: Spec): Any => create(AnySchema, { typeUrl: specUrl, value: encodeSpec(spec) });
export const packProcess = (process: Process): Any => packJson(processUrl, process);
export const unpackSpec = (any: Any | undefined): Spec => unpackJson<Spec>(any, "spec");
export const unpackProcess = (any: Any | undefined): Process => unpackJson<Process>(any, "process");

/** Options of `io.containerd.runc.v2`: another OCI runtime's binary, its state directory, … */
export const packOptions = (options: MessageInitShape<typeof OptionsSchema>): Any =>
  packAny(OptionsSchema, options);

/**
 * A shim's options out of a configuration's table, as containerd and dockerd have them: runc's by their names
 * (`BinaryName`), all others as `runtimeoptions.v1.Options` (`TypeUrl`, `ConfigPath`, `ConfigBody`). Undefined for none.
 */
export function packRuntimeOptions(type: string, table: Readonly<Record<string, unknown>>): Any | undefined {
  const runc = /(?:^io\.containerd\.(?:runc|corten)\.|containerd-shim-(?:runc|corten)-)v\d+$/.test(type);
  const schema = runc ? OptionsSchema : RuntimeOptionsSchema;
  const value: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(table)) {
    const wanted = key.replaceAll("_", "").toLowerCase();
    const field = schema.fields.find(({ localName }) => localName.toLowerCase() === wanted);
    if (!field) throw invalid(`runtime ${type}: unknown option ${key}`);
    const isText = typeof given === "string";
    if (field.localName === "configBody" && isText) value[field.localName] = new TextEncoder().encode(given);
    else if (typeof given === typeof create<DescMessage>(schema)[field.localName as never])
      value[field.localName] = given;
    else throw invalid(`runtime ${type}: option ${key} has the wrong type`);
  }
  return Object.keys(value).length === 0 ? undefined : packAny<DescMessage>(schema, value);
}

function packJson(typeUrl: string, value: unknown): Any {
  return create(AnySchema, { typeUrl, value: new TextEncoder().encode(JSON.stringify(value)) });
}

/** Other URLs are accepted as long as the value is a JSON object: Windows and older names exist. */
function unpackJson<T>(any: Any | undefined, what: string): T {
  if (!any) throw invalid(`${what} is missing`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(any.value));
  } catch (error) {
    throw invalid(`${what} (${any.typeUrl}) is not JSON`, error);
  }
  if (typeof value !== "object" || value === null)
    throw invalid(`${what} (${any.typeUrl}) is not a JSON object`);
  return value as T;
}
