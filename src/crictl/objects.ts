/**
 * Pod and container configurations from JSON or YAML files. Keys are the API's field names in any case, enums are
 * numbers; the names of enum values and the JSON names of fields are understood as well. Unknown keys are ignored.
 */
import { create, type DescField, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  type ContainerConfig,
  ContainerConfigSchema,
} from "../../proto/gen/runtime/v1/container_config_pb.ts";
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from "../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { fs } from "../base/lazy.ts";
import { goQuote } from "../cli/format/quote.ts";
import { log } from "./log.ts";

export function loadPodConfig(file: string): PodSandboxConfig {
  const config = load(PodSandboxConfigSchema, file);
  const { metadata, linux } = config;
  if (!metadata) throw new Error("metadata is not set");
  if (metadata.uid === "") metadata.uid = crypto.randomUUID();
  if (metadata.name === "" || metadata.namespace === "")
    throw new Error(
      `name or namespace is not in metadata ${goQuote(`name:${goQuote(metadata.name)} uid:${goQuote(metadata.uid)} namespace:${goQuote(metadata.namespace)}`)}`,
    );
  if (linux && linux.cgroupParent === "")
    log("warning", "cgroup_parent is not set. Use `runtime-config` to get the runtime cgroup driver");
  return config;
}

export function loadContainerConfig(file: string): ContainerConfig {
  const config = load(ContainerConfigSchema, file);
  if (!config.metadata) throw new Error("metadata is not set");
  if (config.metadata.name === "") throw new Error('name is not in metadata ""');
  if (!config.image) throw new Error("image is not set");
  if (config.image.image === "") throw new Error('image field is not set in image ""');
  return config;
}

function load<D extends DescMessage>(schema: D, file: string): MessageShape<D> {
  let text: string;
  try {
    text = fs().readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Error(`config at ${file} not found`);
    if (code === "EISDIR") throw new Error(`read ${file}: is a directory`);
    if (code === "EACCES") throw new Error(`open ${file}: permission denied`);
    throw error;
  }
  return parseObject(schema, text);
}

export function parseObject<D extends DescMessage>(schema: D, text: string): MessageShape<D> {
  let value: unknown;
  try {
    value = text.trimStart().startsWith("{") ? JSON.parse(text) : Bun.YAML.parse(text);
  } catch {
    try {
      value = Bun.YAML.parse(text);
    } catch (error) {
      throw new Error(`error converting YAML to JSON: yaml: ${(error as Error).message}`, { cause: error });
    }
  }
  const message = create(schema);
  fill(reflect(schema, message), value ?? {}, schema.name);
  return message;
}

/** `where` is Go's name of the place, for messages. */
function fill(message: ReflectMessage, value: unknown, where: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw mismatch(value, where);
  const fields = new Map<string, DescField>();
  for (const field of message.desc.fields) {
    fields.set(field.jsonName.toLowerCase(), field);
    fields.set(field.name.toLowerCase(), field);
  }
  for (const [key, one] of Object.entries(value)) {
    const field = fields.get(key.toLowerCase());
    if (!field || one === null || one === undefined) continue;
    const here = `${message.desc.name}.${field.name}`;
    switch (field.fieldKind) {
      case "message": {
        // An empty one is set as well.
        const inner = message.get(field) as ReflectMessage;
        fill(inner, one, here);
        message.set(field, inner);
        break;
      }
      case "list": {
        if (!Array.isArray(one)) throw mismatch(one, here);
        const list = message.get(field);
        for (const item of one) list.add(element(field, item, here));
        break;
      }
      case "map": {
        if (typeof one !== "object" || Array.isArray(one)) throw mismatch(one, here);
        const map = message.get(field);
        for (const [name, item] of Object.entries(one)) map.set(name, element(field, item, here));
        break;
      }
      default:
        message.set(field, element(field, one, here));
    }
  }
}

function element(field: DescField, value: unknown, where: string): unknown {
  if (field.message) {
    const made = reflect(field.message, create(field.message));
    fill(made, value ?? {}, where);
    return made;
  }
  if (field.enum) {
    if (typeof value === "number" && Number.isInteger(value)) return value;
    const named = field.enum.values.find(({ name }) => name === value);
    if (named) return named.number;
    throw mismatch(value, where);
  }
  return scalar(field, value, where);
}

// ScalarType of protobuf: 1 double, 2 float, 3 int64, 4 uint64, 5 int32, 8 bool, 9 string, 12 bytes, 13 uint32, …
const wide: ReadonlySet<number> = new Set([3, 4, 6, 16, 18]);
const narrow: ReadonlySet<number> = new Set([5, 7, 13, 15, 17]);

function scalar(field: DescField, value: unknown, where: string): unknown {
  const type = field.scalar ?? 9;
  if (wide.has(type) || narrow.has(type)) {
    if (typeof value !== "number" || !Number.isInteger(value)) throw mismatch(value, where);
    if (narrow.has(type)) return value;
    // The largest number of 64 bits is common, and no double holds it.
    const whole = BigInt(value);
    return whole > 0x7fffffffffffffffn && type !== 4 ? 0x7fffffffffffffffn : whole;
  }
  if (type === 8) {
    if (typeof value !== "boolean") throw mismatch(value, where);
    return value;
  }
  if (type === 12) {
    if (typeof value !== "string") throw mismatch(value, where);
    // Values of the environment are bytes to the API and texts to people.
    return new Uint8Array(Buffer.from(value, field.parent.name === "KeyValue" ? "utf8" : "base64"));
  }
  if (type === 9) {
    // A YAML scalar that stands for a text is one.
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    if (typeof value !== "string") throw mismatch(value, where);
    return value;
  }
  if (typeof value !== "number") throw mismatch(value, where);
  return value;
}

function mismatch(value: unknown, where: string): Error {
  const kind = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return new Error(
    `error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${kind} into Go struct field ${where}`,
  );
}
