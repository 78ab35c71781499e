import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Cell, type EngineName, engines, features, type Row, type Runtime, runtimes } from "./types.ts";

const page = join(import.meta.dir, "../../../docs/conformance.md");
const begin =
  "<!-- matrix:begin, written by CORTEN_WRITE_MATRIX=1 on test/conformance/matrix.test.ts and matrix-vm.test.ts -->";
const end = "<!-- matrix:end -->";

export type Rows = Map<string, Row | string>;
export const keyOf = (engine: EngineName, runtime: Runtime) => `${engine}|${runtime}`;

/** The table that is in the page now. */
export function readTable(): Rows {
  const text = readFileSync(page, "utf8");
  const rows: Rows = new Map();
  const from = text.indexOf(begin);
  if (from < 0) return rows;
  for (const line of text.slice(from, text.indexOf(end)).split("\n")) {
    const [, engine = "", runtime = "", ...cells] = line.split("|").map((cell) => cell.trim());
    if (!engines.includes(engine as EngineName)) continue;
    const key = `${engine}|${runtime}`;
    if (cells[1] === "") rows.set(key, cells[0] ?? "");
    else
      rows.set(key, Object.fromEntries(features.map((feature, at) => [feature, cells[at] as Cell])) as Row);
  }
  return rows;
}

export function writeTable(rows: Rows): void {
  const text = readFileSync(page, "utf8");
  const lines = [
    `| engine | runtime | ${features.join(" | ")} |`,
    `|${"---|".repeat(features.length + 2)}`,
    ...engines.flatMap((engine) =>
      runtimes.map((runtime) => {
        const row = rows.get(keyOf(engine, runtime)) ?? "not run";
        const cells =
          typeof row === "string"
            ? [row, ...Array(features.length - 1).fill("")]
            : features.map((feature) => row[feature]);
        return `| ${engine} | ${runtime} | ${cells.join(" | ")} |`;
      }),
    ),
  ];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < 0) throw new Error(`${page} has no place for the table`);
  writeFileSync(page, `${text.slice(0, from)}${begin}\n${lines.join("\n")}\n${text.slice(to)}`);
}
