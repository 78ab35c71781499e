/** --mount and --device of RUN (reference: "RUN --mount", "RUN --device"). */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import { withSuggestion } from "../suggest.ts";
import type { Device, Mount, RawMount } from "../types.ts";
import { parseCsvLine } from "./csv.ts";
import { parseBoolean, parseSize, parseUnsigned } from "./numbers.ts";

const types = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const sharings = ["shared", "private", "locked"] as const;

const keys =
  "type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env".split(
    " ",
  );

interface Field {
  text: string;
  key: string;
  /** Absent: there is no `=`. */
  value?: string;
}

function fieldsOf(text: string, what: string): Field[] {
  let fields: string[];
  try {
    fields = parseCsvLine(text);
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    throw new SyntaxProblem(`failed to parse csv ${what}: ${error.message}`, text);
  }
  return fields.map((field) => {
    const equals = field.indexOf("=");
    if (equals < 0) return { text: field, key: field.toLowerCase() };
    return { text: field, key: field.slice(0, equals).toLowerCase(), value: field.slice(equals + 1) };
  });
}

/** What is known of a mount before expansion: where it comes from, which is needed to order the stages. */
export function parseRawMount(text: string): RawMount {
  let from: string | undefined;
  for (const { key, value } of fieldsOf(text, "mounts")) {
    if (key !== "from" || value === undefined) continue;
    const dollar = value.indexOf("$");
    if (dollar >= 0 && dollar !== value.length - 1)
      throw new SyntaxProblem(
        `'${key}' doesn't support variable expansion, define alias stage instead`,
        value,
      );
    from = value;
  }
  return from === undefined ? { text } : { text, from };
}

/**
 * The mount with its values expanded by `expand` and checked. Options are read in order, so that `type` has to come
 * before those that only one type has, as in BuildKit. Fails with a SyntaxProblem.
 */
export function parseMount(text: string, expand: (value: string) => string): Mount {
  const mount: Mount = {
    type: "bind",
    from: "",
    source: "",
    target: "",
    readonly: false,
    size: 0,
    id: "",
    required: false,
  };
  let readonly: boolean | undefined;
  for (const field of fieldsOf(text, "mounts")) {
    const access = accessOf(field, expand);
    if (access !== undefined) readonly = access;
    else setField(mount, field, expand);
  }
  const writable = mount.type === "cache" || mount.type === "tmpfs";
  check(mount);
  mount.readonly = readonly ?? !writable;
  return mount;
}

/** `ro`, `rw` and their long forms say, with and without a value, whether the mount is read-only. */
function accessOf({ key, value }: Field, expand: (value: string) => string): boolean | undefined {
  const readonly = key === "readonly" || key === "ro";
  if (!readonly && key !== "readwrite" && key !== "rw") return undefined;
  return (value === undefined || booleanField(key, expand(value))) === readonly;
}

function booleanField(key: string, value: string): boolean {
  const parsed = parseBoolean(value);
  if (parsed === undefined) throw new SyntaxProblem(`invalid value for ${key}: ${value}`, value);
  return parsed;
}

function setField(mount: Mount, field: Field, expand: (value: string) => string): void {
  const { key, text } = field;
  const only = (...of: Mount["type"][]) => {
    if (of.includes(mount.type)) return;
    throw new SyntaxProblem(`unexpected key '${key}' for mount type '${mount.type}'`, text);
  };
  if (field.value === undefined) {
    if (key !== "required") throw new SyntaxProblem(`invalid field '${text}' must be a key=value pair`, text);
    only("secret", "ssh");
    mount.required = true;
    return;
  }
  const value = expand(field.value);
  switch (key) {
    case "type":
      mount.type = oneOf(types, value, "mount type");
      return;
    case "from":
      mount.from = value;
      return;
    case "source":
    case "src":
      mount.source = value;
      return;
    case "target":
    case "dst":
    case "destination":
      mount.target = value;
      return;
    case "required":
      only("secret", "ssh");
      mount.required = booleanField(key, value);
      return;
    case "size": {
      only("tmpfs");
      const size = parseSize(value);
      if (size === undefined) throw new SyntaxProblem(`invalid value for ${key}: ${value}`, text);
      mount.size = size;
      return;
    }
    case "id":
      mount.id = value;
      return;
    case "sharing":
      mount.sharing = oneOf(sharings, value, "sharing value");
      return;
    case "mode":
    case "uid":
    case "gid": {
      const number = parseUnsigned(value, key === "mode" ? 8 : 10);
      if (number === undefined) throw new SyntaxProblem(`invalid value ${value} for ${key}`, text);
      mount[key] = number;
      return;
    }
    case "env":
      mount.env = value;
      return;
  }
  throw new SyntaxProblem(withSuggestion(`unexpected key '${key}' in '${text}'`, key, keys, true), text);
}

function oneOf<T extends string>(options: readonly T[], value: string, what: string): T {
  const found = options.find((option) => option === value.toLowerCase());
  if (found !== undefined) return found;
  throw new SyntaxProblem(withSuggestion(`unsupported ${what} ${quote(value)}`, value, options, true), value);
}

function check(mount: Mount): void {
  const { type } = mount;
  if (type === "bind" || type === "tmpfs")
    for (const key of ["mode", "uid", "gid"] as const)
      if (mount[key] !== undefined)
        throw new SyntaxProblem(`${key} not allowed for "${type}" type mounts`, key);
  if (type === "secret") {
    if (mount.from !== "") throw new SyntaxProblem("secret mount should not have a from", "from");
    if (mount.sharing) throw new SyntaxProblem("secret mount should not define sharing", "sharing");
    if (mount.source === "" && mount.target === "" && mount.id === "")
      throw new SyntaxProblem("invalid secret mount. one of source, target required", "type=");
    if (mount.source !== "" && mount.id !== "")
      throw new SyntaxProblem("both source and id can't be set", "id=");
  }
  if (mount.sharing && type !== "cache")
    throw new SyntaxProblem(`invalid cache sharing set for ${type} mount`, "sharing");
}

/** `vendor.com/class=name[,required]`, or with `name=`. */
export function parseDevice(text: string): Device {
  const device: Device = { name: "", required: false };
  for (const { key, value, text: field } of fieldsOf(text, "devices")) {
    if (key === "required") device.required = value === undefined || booleanField(key, value);
    else if (key === "name" && value !== undefined) {
      if (device.name !== "") throw new SyntaxProblem(`device name already set to ${device.name}`, field);
      device.name = value;
    } else if (device.name === "") device.name = field;
    else if (value === undefined)
      throw new SyntaxProblem(`invalid field '${field}' must be a key=value pair`, field);
    else
      throw new SyntaxProblem(
        withSuggestion(`unexpected key '${key}' in '${field}'`, key, ["name", "required"], true),
        field,
      );
  }
  return device;
}
