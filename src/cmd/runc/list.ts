import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { invalid } from "../../base/errors.ts";
import { list } from "../../runc/index.ts";
import { type Context, expectArgs } from "./context.ts";
import { parseFlags } from "./flags.ts";

export async function listVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [
    ["format", "f", "string"],
    ["quiet", "q", "bool"],
  ]);
  expectArgs(flags, "list", 0);
  const reports = list(context.root).map((report) => ({
    ...report,
    owner: ownerOf(join(context.root, report.id)),
  }));
  if (flags.bool("quiet")) {
    for (const { id } of reports) process.stdout.write(`${id}\n`);
    return 0;
  }
  const format = flags.string("format") || "table";
  if (format === "json") {
    process.stdout.write(`${reports.length > 0 ? JSON.stringify(reports) : "null"}\n`);
    return 0;
  }
  if (format !== "table") throw invalid("invalid format option");
  const rows = [
    ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
    ...reports.map(({ id, pid, status, bundle, created, owner }) => [
      id,
      String(pid),
      status,
      bundle,
      created,
      owner,
    ]),
  ];
  // As Go's tabwriter with a cell of at least 12 and 3 spaces between.
  const widths = rows[0]!.map((_, column) => Math.max(12, ...rows.map((row) => row[column]!.length + 3)));
  for (const row of rows)
    process.stdout.write(
      `${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join("")}\n`,
    );
  return 0;
}

/** The user name of a path's owner, or `#uid`. */
export function ownerOf(path: string): string {
  let uid: number;
  try {
    uid = statSync(path).uid;
  } catch {
    return "";
  }
  if (uid === 0) return "root";
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? `#${uid}`;
}
