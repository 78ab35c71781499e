import { spawnSync } from "node:child_process";
import { CortenError, invalid } from "../../base/errors.ts";
import { processes } from "../../runc/index.ts";
import { type Context, expectArgs } from "./context.ts";
import { parseFlags } from "./flags.ts";

/** The container's lines of ps(1), whatever columns were asked for as long as PID is one. */
export async function psVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [["format", "f", "string"]], true);
  expectArgs(flags, "ps", 1, Number.POSITIVE_INFINITY);
  const [id = "", ...psArgs] = flags.args;
  const format = flags.string("format") || "table";
  const pids = processes(context.root, id);
  if (format === "json") {
    process.stdout.write(`${JSON.stringify(pids)}\n`);
    return 0;
  }
  if (format !== "table") throw invalid("invalid format option");
  const { status, stdout, stderr, error } = spawnSync("ps", psArgs.length > 0 ? psArgs : ["-ef"], {
    encoding: "utf8",
  });
  if (error || status !== 0)
    throw new CortenError(
      "internal",
      `ps failed: ${error?.message ?? `exit status ${status}: ${stdout}${stderr}`}`,
    );
  const [title = "", ...lines] = stdout.split("\n");
  const column = title.trim().split(/\s+/).indexOf("PID");
  if (column < 0) throw invalid("couldn't find PID field in ps output");
  const wanted = new Set(pids.map(String));
  const own = lines.filter((line) => wanted.has(line.trim().split(/\s+/)[column] ?? ""));
  process.stdout.write(`${[title, ...own].join("\n")}\n`);
  return 0;
}
