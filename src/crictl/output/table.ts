import { alignColumns } from "../../cli/format/tabwriter.ts";

/** Columns of crictl's tables: at least 20 wide, 3 apart. */
export function table(rows: readonly (readonly string[])[], minWidth = 20): string {
  return rows.length === 0
    ? ""
    : alignColumns(`${rows.map((row) => row.join("\t")).join("\n")}\n`, { minWidth, padding: 3 });
}

/** Erases the terminal and goes to its upper left corner. */
export const clearScreen = "\x1b[2J\x1b[H";

const shortLength = 13;

/** An id as tables show it, its algorithm left out. */
export function truncated(id: string, prefix = ""): string {
  const rest = id.startsWith(prefix) ? id.slice(prefix.length) : id;
  return rest.slice(0, shortLength);
}

/** `key -> value` lines under a title, sorted; nothing for an empty map. */
export function pairs(title: string, map: Readonly<Record<string, string>>): string {
  const keys = Object.keys(map).sort();
  if (keys.length === 0) return "";
  return `${title}:\n${keys.map((key) => `\t${key} -> ${map[key]}\n`).join("")}`;
}

/** Go's `%v` of a map of texts. */
export const goMap = (map: Readonly<Record<string, string>>) =>
  `map[${Object.keys(map)
    .sort()
    .map((key) => `${key}:${map[key]}`)
    .join(" ")}]`;
