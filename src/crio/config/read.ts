import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { invalid } from "../../base/errors.ts";
import { defaultConfig, defaultRuntimeTable } from "./defaults.ts";
import { readToml, type Table, tableOf, textOf } from "./toml.ts";
import type { CrioConfig } from "./types.ts";

export interface ConfigFiles {
  /** /etc/crio/crio.conf; one that is not there is fine unless it was `asked` for. */
  path: string;
  /** /etc/crio/crio.conf.d: read after it, in the order of their names; empty: none. */
  dir: string;
  asked?: boolean;
}

export interface ReadConfig {
  config: CrioConfig;
  /** What was read. */
  files: string[];
  /** Keys that mean nothing here, with their file. */
  unknown: string[];
}

/** A later file's key replaces an earlier one's, lists and all; of a runtime's table each key by itself. */
export function readConfig({ path, dir, asked }: ConfigFiles, overrides: Table = {}): ReadConfig {
  const config = defaultConfig();
  const unknown: string[] = [];
  const files = asked || existsSync(path) ? [path] : [];
  if (dir !== "" && existsSync(dir))
    files.push(
      ...readdirSync(dir)
        .filter((name) => !name.startsWith("."))
        .sort()
        .map((name) => join(dir, name)),
    );
  for (const file of files) mergeDocument(config, readToml(file), file, unknown);
  mergeDocument(config, overrides, "the command line", unknown);
  checkConfig(config);
  return { config, files, unknown };
}

/** Merges one document, whose only table is `crio`. */
export function mergeDocument(config: CrioConfig, document: Table, file: string, unknown: string[]): void {
  const { crio, ...rest } = document;
  for (const name of Object.keys(rest)) unknown.push(`${file}: ${name}`);
  merge(config as unknown as Table, tableOf(crio, `${file}: crio`), `${file}: crio`, unknown);
}

function merge(into: Table, from: Table, where: string, unknown: string[]): void {
  for (const [key, value] of Object.entries(from)) {
    const at = `${where}.${key}`;
    const before = into[key];
    if (key === "runtimes") mergeRuntimes(into[key] as Table, tableOf(value, at), at, unknown);
    else if (key === "plugin_dir") into["plugin_dirs"] = [textOf(value, at)];
    else if (before === undefined) unknown.push(at);
    else if (key === "default_annotations") into[key] = textTable(value, at);
    else if (typeof before === "object" && !Array.isArray(before))
      merge(before as Table, tableOf(value, at), at, unknown);
    else into[key] = sameType(before, value, at);
  }
}

function mergeRuntimes(runtimes: Table, from: Table, where: string, unknown: string[]): void {
  for (const [name, value] of Object.entries(from)) {
    runtimes[name] ??= defaultRuntimeTable();
    merge(runtimes[name] as Table, tableOf(value, `${where}.${name}`), `${where}.${name}`, unknown);
  }
}

function textTable(value: unknown, where: string): Record<string, string> {
  const found = tableOf(value, where);
  for (const [key, entry] of Object.entries(found)) textOf(entry, `${where}.${key}`);
  return found as Record<string, string>;
}

function sameType(before: unknown, value: unknown, where: string): unknown {
  if (Array.isArray(before)) {
    if (Array.isArray(value) && value.every((entry) => typeof entry === "string")) return value;
    throw invalid(`${where} is not a list of strings`);
  }
  if (typeof value === typeof before) return value;
  // CRI-O writes ports as text, people do not always.
  if (typeof before === "string" && typeof value === "number") return String(value);
  throw invalid(`${where} is not a ${typeof before}`);
}

/** What cannot work is refused at the start, by its key. */
export function checkConfig(config: CrioConfig): void {
  const { runtime, image } = config;
  if (!Object.hasOwn(runtime.runtimes, runtime.default_runtime))
    throw invalid(`default_runtime ${JSON.stringify(runtime.default_runtime)} is not in runtimes`);
  for (const [name, table] of Object.entries(runtime.runtimes)) {
    const at = `runtimes.${name}`;
    if (table.runtime_type !== "" && table.runtime_type !== "oci")
      throw invalid(
        `${at}.runtime_type ${JSON.stringify(table.runtime_type)} is not implemented: only "oci" is`,
      );
    for (const key of ["runtime_path", "monitor_path"] as const)
      if (table[key] !== "" && !existsSync(table[key]))
        throw invalid(`${at}.${key} ${JSON.stringify(table[key])} does not exist`);
    if (table.monitor_path !== "" && table.runtime_path === "")
      throw invalid(`${at} has a monitor_path and no runtime_path: our own runtime has our own monitor`);
  }
  if (runtime.conmon !== "" && !existsSync(runtime.conmon))
    throw invalid(`conmon ${JSON.stringify(runtime.conmon)} does not exist`);
  if (!["cgroupfs", "systemd"].includes(runtime.cgroup_manager))
    throw invalid(`cgroup_manager ${JSON.stringify(runtime.cgroup_manager)} is neither cgroupfs nor systemd`);
  if (runtime.ctr_stop_timeout < 0) throw invalid("ctr_stop_timeout is negative");
  if (runtime.log_size_max >= 0 && runtime.log_size_max < 8192)
    throw invalid("log_size_max is less than 8192 and not -1");
  if (!["mkdir", "bind", "ignore"].includes(image.image_volumes))
    throw invalid(`image_volumes ${JSON.stringify(image.image_volumes)} is none of mkdir, bind, ignore`);
  if (image.default_transport !== "docker://")
    throw invalid(`default_transport ${JSON.stringify(image.default_transport)} is not implemented`);
  if (!["enforcing", "disabled"].includes(image.short_name_mode))
    throw invalid(
      `short_name_mode ${JSON.stringify(image.short_name_mode)} is neither enforcing nor disabled`,
    );
  if (!["overlay", "vfs"].includes(config.storage_driver))
    throw invalid(`storage_driver ${JSON.stringify(config.storage_driver)} is neither overlay nor vfs`);
  for (const entry of runtime.default_sysctls)
    if (entry !== "" && !/^[\w./-]+=/.test(entry))
      throw invalid(`default_sysctls: ${JSON.stringify(entry)} is not NAME=VALUE`);
  for (const entry of runtime.default_ulimits)
    if (!/^\w+=-?\d+(?::-?\d+)?$/.test(entry))
      throw invalid(`default_ulimits: ${JSON.stringify(entry)} is not NAME=SOFT[:HARD]`);
  for (const entry of runtime.default_env)
    if (!entry.includes("=")) throw invalid(`default_env: ${JSON.stringify(entry)} is not NAME=VALUE`);
}
