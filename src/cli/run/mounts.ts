/** `--mount`, `-v` and `--tmpfs`. */
import { path } from "../../base/lazy.ts";
import type { Mount } from "../../engine/types.ts";
import { parseBool } from "../flags/flag.ts";
import { parseBytes } from "../format/units.ts";
import { cut } from "./environment.ts";
import { splitCsv } from "./values.ts";

/** A flag's boolean whose error names the key. */
function flagValue(key: string, value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new Error(`invalid value for ${key}: ${value}`);
  }
}

/** `type=bind,source=/a,target=/b,readonly`. */
export function parseMount(text: string): Mount {
  const mount: Mount = { Type: "volume" };
  const bind = () => (mount.BindOptions ??= {});
  const tmpfs = () => (mount.TmpfsOptions ??= {});
  const image = () => (mount.ImageOptions ??= {});
  const volume = () => {
    mount.VolumeOptions ??= { Labels: {} };
    mount.VolumeOptions.DriverConfig ??= {};
    return mount.VolumeOptions;
  };
  const pair = (into: Record<string, string>, value: string) => {
    const [key, one] = cut(value, "=");
    if (key !== "") into[key] = one ?? "";
  };

  for (const field of splitCsv(text)) {
    const [rawKey, value] = cut(field, "=");
    const key = rawKey.toLowerCase();
    if (value === undefined) {
      if (key === "readonly" || key === "ro") mount.ReadOnly = true;
      else if (key === "volume-nocopy") volume().NoCopy = true;
      else if (key === "bind-nonrecursive") bind().NonRecursive = true;
      else throw new Error(`invalid field '${field}' must be a key=value pair`);
      continue;
    }
    switch (key) {
      case "type":
        mount.Type = value.toLowerCase() as NonNullable<Mount["Type"]>;
        break;
      case "source":
      case "src":
        mount.Source = value.startsWith(".") ? path().resolve(value) : value;
        break;
      case "target":
      case "dst":
      case "destination":
        mount.Target = value;
        break;
      case "readonly":
      case "ro":
        mount.ReadOnly = flagValue(key, value);
        break;
      case "consistency":
        mount.Consistency = value.toLowerCase();
        break;
      case "bind-propagation":
        bind().Propagation = value.toLowerCase();
        break;
      case "bind-nonrecursive":
        bind().NonRecursive = flagValue(key, value);
        break;
      case "bind-recursive":
        bindRecursive(value, bind);
        break;
      case "volume-subpath":
        volume().Subpath = value;
        break;
      case "volume-nocopy":
        volume().NoCopy = flagValue(key, value);
        break;
      case "volume-label":
        pair(volume().Labels!, value);
        break;
      case "volume-driver":
        volume().DriverConfig!.Name = value;
        break;
      case "volume-opt":
        volume().DriverConfig!.Options ??= {};
        pair(volume().DriverConfig!.Options!, value);
        break;
      case "image-subpath":
        image().Subpath = value;
        break;
      case "tmpfs-size":
        try {
          tmpfs().SizeBytes = parseBytes(value);
        } catch {
          throw new Error(`invalid value for ${key}: ${value}`);
        }
        break;
      case "tmpfs-mode":
        if (!/^[0-7]+$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
        tmpfs().Mode = Number.parseInt(value, 8);
        break;
      default:
        throw new Error(`unexpected key '${key}' in '${field}'`);
    }
  }
  check(mount);
  return wire(mount);
}

function bindRecursive(value: string, bind: () => NonNullable<Mount["BindOptions"]>): void {
  if (value === "enabled") return;
  if (value === "disabled") bind().NonRecursive = true;
  else if (value === "writable") bind().ReadOnlyNonRecursive = true;
  else if (value === "readonly") bind().ReadOnlyForceRecursive = true;
  else
    throw new Error(
      `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
    );
}

function check(mount: Mount): void {
  if (!mount.Type) throw new Error("type is required");
  if (!mount.Target) throw new Error("target is required");
  const only = (options: unknown, type: string) => {
    if (options && mount.Type !== type)
      throw new Error(`cannot mix '${type}-*' options with mount type '${mount.Type}'`);
  };
  only(mount.VolumeOptions, "volume");
  only(mount.ImageOptions, "image");
  only(mount.BindOptions, "bind");
  only(mount.TmpfsOptions, "tmpfs");
  const bind = mount.BindOptions;
  const needs = (option: string, what: string) =>
    new Error(`option 'bind-recursive=${option}' requires '${what}' to be specified in conjunction`);
  if (bind?.ReadOnlyNonRecursive && !mount.ReadOnly) throw needs("writable", "readonly");
  if (bind?.ReadOnlyForceRecursive) {
    if (!mount.ReadOnly) throw needs("readonly", "readonly");
    if (bind.Propagation !== "rprivate") throw needs("readonly", "bind-propagation=rprivate");
  }
}

/** Leaves out what Go's `omitempty` leaves out. */
function wire(mount: Mount): Mount {
  const omitEmpty = <T extends object>(options: T): T =>
    Object.fromEntries(
      Object.entries(options).filter(
        ([, value]) =>
          value !== false &&
          value !== "" &&
          value !== 0 &&
          !(isMap(value) && Object.keys(value).length === 0),
      ),
    ) as T;
  const out = omitEmpty(mount);
  const empty = (options: object | null | undefined) => options && Object.keys(options).length === 0;
  // The option structs are pointers in Go: present when touched, even if empty.
  if (mount.BindOptions) out.BindOptions = omitEmpty(mount.BindOptions);
  if (mount.TmpfsOptions) out.TmpfsOptions = omitEmpty(mount.TmpfsOptions);
  if (mount.ImageOptions) out.ImageOptions = omitEmpty(mount.ImageOptions);
  if (mount.VolumeOptions) {
    const { DriverConfig, ...rest } = mount.VolumeOptions;
    out.VolumeOptions = omitEmpty(rest);
    if (DriverConfig) out.VolumeOptions.DriverConfig = empty(DriverConfig) ? {} : omitEmpty(DriverConfig);
  }
  return out;
}

const isMap = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What `-v` texts become: binds (with a source) and anonymous volumes (without). */
export function parseVolumes(texts: readonly string[]): {
  binds: string[];
  volumes: Record<string, Record<string, never>>;
} {
  const binds: string[] = [];
  const volumes: Record<string, Record<string, never>> = {};
  for (const text of new Set(texts)) {
    const source = volumeSource(text);
    if (source === undefined) {
      volumes[text] = {};
      continue;
    }
    const [host, rest] = cut(text, ":");
    const relative = isFilePath(source) && rest !== undefined && host.startsWith(".");
    binds.push(relative ? `${path().resolve(host)}:${rest}` : text);
  }
  return { binds, volumes };
}

/** The source of `[source:]target[:options]`, undefined for an anonymous volume. */
function volumeSource(text: string): string | undefined {
  if (text === "") throw new Error("invalid empty volume spec");
  if (text.length <= 2) return undefined;
  const fail = (reason: string) => new Error(`invalid spec: ${text}: ${reason}`);
  const parts: string[] = [];
  let part = "";
  for (const char of text) {
    // A single letter before a colon is a Windows drive, which docker's own parser looks for everywhere.
    if (char === ":" && !/^\p{L}$/u.test(part)) {
      parts.push(part);
      part = "";
    } else part += char;
  }
  parts.push(part);
  parts.forEach((one, at) => {
    if (one === "") throw fail("empty section between colons");
    if (at > 2 || (at === 2 && parts.length > 3)) throw fail("too many colons");
  });
  return parts.length === 1 ? undefined : parts[0];
}

function isFilePath(source: string): boolean {
  return /^[./~]/.test(source) || source.startsWith("\\\\") || /^\p{L}:/u.test(source);
}

/** `--tmpfs /run:size=1m` as a map. */
export function parseTmpfs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => cut(text, ":")).map(([path, options]) => [path, options ?? ""]),
  );
}
