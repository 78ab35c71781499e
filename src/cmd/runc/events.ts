import { invalid } from "../../base/errors.ts";
import { events, stats, statsReport } from "../../runc/index.ts";
import { type Context, expectArgs } from "./context.ts";
import { parseFlags } from "./flags.ts";

export async function eventsVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [
    ["interval", "", "string"],
    ["stats", "", "bool"],
  ]);
  expectArgs(flags, "events", 1);
  const id = flags.args[0]!;
  const interval = parseDuration(flags.string("interval") || "5s");
  if (interval <= 0) throw invalid("duration interval must be greater than 0");
  const print = (event: object) => process.stdout.write(`${JSON.stringify(event)}\n`);
  if (flags.bool("stats")) print({ type: "stats", id, data: statsReport(stats(context.root, id)) });
  else for await (const event of events(context.root, id, interval)) print(event);
  return 0;
}

/** Go's durations ("1m30s", "100ms") in milliseconds. */
export function parseDuration(text: string): number {
  const units: Record<string, number> = {
    h: 3_600_000,
    m: 60_000,
    s: 1000,
    ms: 1,
    us: 0.001,
    µs: 0.001,
    ns: 1e-6,
  };
  if (text === "0") return 0;
  if (!/^-?(\d+(\.\d*)?(h|ms|m|s|us|µs|ns))+$/.test(text))
    throw invalid(`invalid value ${JSON.stringify(text)} for flag -interval: parse error`);
  let total = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d*)?)(h|ms|m|s|us|µs|ns)/g))
    total += Number(digits) * units[unit!]!;
  return text.startsWith("-") ? -total : total;
}
