import { readFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { CortenError, invalid, messageOf } from "../base/errors.ts";
import type { Process, Spec } from "../oci/runtime-spec.ts";
import { errnoOf } from "../sys/cgroup/index.ts";
import { list, object } from "./fields.ts";

/** A configuration is a page or two; what is larger than this is not one. */
const largest = 16 * 1024 * 1024;

/**
 * Parses JSON as Go programs write it: nulls mean "not there", and numbers beyond 2^53 (RLIM_INFINITY,
 * seccomp's masks) become bigints where they would lose digits.
 */
export function parseJson(text: string, what: string): unknown {
  if (text.length > largest) throw invalid(`${what} is larger than ${largest} bytes`);
  const large = /\d{16}/.test(text);
  // As a value, not in a string such as /dev/null.
  const nulls = /[:[,]\s*null/.test(text);
  const revive = (_key: string, value: unknown, context?: { source?: string }) => {
    if (value === null) return undefined;
    if (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? ""))
      return BigInt(context!.source!);
    return value;
  };
  try {
    const parse = JSON.parse as (text: string, reviver?: typeof revive) => unknown;
    return large || nulls ? parse(text, revive) : parse(text);
  } catch (error) {
    throw invalid(`${what}: ${messageOf(error)}`, error);
  }
}

/** JSON with bigints as plain numbers. */
export function stringifyJson(value: unknown, indent?: string): string {
  const raw = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
  try {
    // Without a replacer it is ten times faster, and bigints are rare.
    return JSON.stringify(value, undefined, indent);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  return JSON.stringify(value, (_key, item) => (typeof item === "bigint" ? raw(String(item)) : item), indent);
}

/** Reads `<bundle>/config.json`. */
export function readSpec(bundle: string): Spec {
  let text: string;
  try {
    text = readFileSync(join(bundle, "config.json"), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT")
      throw new CortenError("not_found", `JSON specification file config.json not found`, { cause: error });
    throw error;
  }
  return checkSpec(parseJson(text, "config.json"));
}

/** Checks the outer shape of what was read, so that the rest may rely on the types. */
export function checkSpec(value: unknown): Spec {
  const spec = object(value, "config.json");
  if (spec["ociVersion"] === undefined || spec["ociVersion"] === "")
    throw invalid("ociVersion is missing in config.json");
  const major = String(spec["ociVersion"]).split(".")[0];
  if (major !== "1") throw invalid(`unsupported ociVersion ${JSON.stringify(spec["ociVersion"])}`);
  if (spec["root"] !== undefined) string(object(spec["root"], "root")["path"], "root.path");
  if (spec["process"] !== undefined) checkProcess(spec["process"], "process");
  for (const [index, mount] of list(spec["mounts"], "mounts").entries()) {
    const one = object(mount, `mounts[${index}]`);
    string(one["destination"], `mounts[${index}].destination`);
    strings(one["options"], `mounts[${index}].options`);
  }
  const linux = spec["linux"] === undefined ? {} : object(spec["linux"], "linux");
  for (const key of ["maskedPaths", "readonlyPaths"]) strings(linux[key], `linux.${key}`);
  for (const key of ["uidMappings", "gidMappings", "namespaces", "devices"])
    for (const [index, entry] of list(linux[key], `linux.${key}`).entries())
      object(entry, `linux.${key}[${index}]`);
  for (const [key, text] of Object.entries(
    linux["sysctl"] === undefined ? {} : object(linux["sysctl"], "linux.sysctl"),
  ))
    string(text, `linux.sysctl[${key}]`);
  return spec as unknown as Spec;
}

/** Checks a process: of a configuration, or the file given to `exec --process`. */
export function checkProcess(value: unknown, where: string): Process {
  const process = object(value, where);
  strings(process["args"], `${where}.args`);
  strings(process["env"], `${where}.env`);
  if (process["cwd"] !== undefined) string(process["cwd"], `${where}.cwd`);
  const user = process["user"] === undefined ? {} : object(process["user"], `${where}.user`);
  for (const key of ["uid", "gid", "umask"]) {
    const number = user[key];
    if (
      number !== undefined &&
      !(typeof number === "number" && Number.isInteger(number) && number >= 0 && number < 2 ** 32)
    )
      throw invalid(`${where}.user.${key} must be a number within 0 … 4294967295`);
  }
  user["uid"] ??= 0;
  user["gid"] ??= 0;
  process["user"] = user;
  return process as unknown as Process;
}

/** The rootfs' absolute path: relative ones start at the bundle. */
export function rootfsOf(spec: Spec, bundle: string): string {
  if (!spec.root?.path) throw invalid("root must be specified");
  return isAbsolute(spec.root.path) ? spec.root.path : resolve(bundle, spec.root.path);
}

function string(value: unknown, where: string): void {
  if (typeof value !== "string") throw invalid(`${where} must be a string`);
}

function strings(value: unknown, where: string): void {
  for (const [index, entry] of list(value, where).entries()) string(entry, `${where}[${index}]`);
}
