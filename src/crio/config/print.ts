import { defaultConfig, defaultRuntimeTable } from "./defaults.ts";
import type { CrioConfig, RuntimeTable } from "./types.ts";

const value = (entry: unknown): string =>
  Array.isArray(entry)
    ? entry.length === 0
      ? "[]"
      : `[\n${entry.map((item) => `\t${JSON.stringify(item)},\n`).join("")}]`
    : typeof entry === "object" && entry !== null
      ? `{ ${Object.entries(entry)
          .map(([key, text]) => `${JSON.stringify(key)} = ${JSON.stringify(text)}`)
          .join(", ")} }`
      : typeof entry === "string"
        ? JSON.stringify(entry)
        : String(entry);

/** A line per key; those that have their default's value are comments, as `crio config` prints them. */
function lines(table: object, defaults: object, skip: readonly string[] = []): string {
  const standard = defaults as Record<string, unknown>;
  return Object.entries(table)
    .filter(([key]) => !skip.includes(key))
    .map(([key, entry]) => {
      const text = `${key} = ${value(entry)}`;
      const same = JSON.stringify(entry) === JSON.stringify(standard[key]);
      return `${same ? text.replace(/^/gm, "# ") : text}\n`;
    })
    .join("");
}

const sections = ["api", "runtime", "image", "network", "metrics", "stats"] as const;

/** The configuration as a file that makes it again. `plain`: no key is commented out. */
export function printConfig(config: CrioConfig, plain = false): string {
  const defaults = plain ? undefined : defaultConfig();
  const tableDefaults: Partial<RuntimeTable> = plain ? {} : defaultRuntimeTable();
  let text = `[crio]\n${lines(config, defaults ?? {}, sections)}`;
  for (const name of sections) {
    text += `\n[crio.${name}]\n${lines(config[name], defaults?.[name] ?? {}, ["runtimes"])}`;
    if (name !== "runtime") continue;
    for (const [runtime, table] of Object.entries(config.runtime.runtimes))
      text += `\n[crio.runtime.runtimes.${JSON.stringify(runtime)}]\n${lines(table, tableDefaults)}`;
  }
  return text;
}
