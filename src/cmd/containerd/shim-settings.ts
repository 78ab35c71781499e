import { readFileSync } from "node:fs";
import { invalid, messageOf } from "../../base/errors.ts";

/** Where containerd's config.toml has what shims are told: version 3, and version 2's. */
const tables = ["io.containerd.shim.v1.manager", "io.containerd.runtime.v2.task"];

export interface ShimSettings {
  /** `NAME=value` for shims' programs. */
  env: string[];
  /** Ours: runtimes to be run by their own shims although this program could. */
  external: string[];
}

/** Reads `env` and `external_runtimes` of the shim manager's table. */
export function readShimSettings(path: string | undefined): ShimSettings {
  const settings: ShimSettings = { env: [], external: [] };
  if (path === undefined) return settings;
  let plugins: Record<string, Record<string, unknown> | undefined>;
  try {
    plugins = (Bun.TOML.parse(readFileSync(path, "utf8")) as { plugins?: typeof plugins }).plugins ?? {};
  } catch (error) {
    throw invalid(`cannot read the configuration ${path}: ${messageOf(error)}`, error);
  }
  for (const name of tables) {
    const table = plugins[name];
    if (!table) continue;
    settings.env.push(...texts(name, "env", table["env"]));
    settings.external.push(...texts(name, "external_runtimes", table["external_runtimes"]));
    if (table["sched_core"] === true) settings.env.push("SCHED_CORE=1");
  }
  return settings;
}

function texts(name: string, key: string, value: unknown): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== "string"))
    throw invalid(`plugins."${name}".${key} is not a list of texts`);
  return value as string[];
}
