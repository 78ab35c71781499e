/** The verbs whose command line is an id and little more. */
import { join, resolve } from "node:path";
import {
  explain,
  features,
  kill,
  parseSignal,
  pause,
  remove,
  resume,
  start,
  state,
} from "../../runc/index.ts";
import { type Context, expectArgs } from "./context.ts";
import { parseFlags } from "./flags.ts";
import { ownerOf } from "./list.ts";

export async function startVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, []);
  expectArgs(flags, "start", 1);
  await start(context.root, flags.args[0]!, context.warn);
  return 0;
}

export async function stateVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, []);
  expectArgs(flags, "state", 1);
  const report = state(context.root, flags.args[0]!);
  const owner = ownerOf(join(context.root, report.id));
  process.stdout.write(`${JSON.stringify({ ...report, owner }, null, "  ")}\n`);
  return 0;
}

export async function killVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [["all", "a", "bool"]]);
  expectArgs(flags, "kill", 1, 2);
  const [id = "", signal = "SIGTERM"] = flags.args;
  kill(context.root, id, parseSignal(signal), { all: flags.bool("all") });
  return 0;
}

export async function deleteVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [["force", "f", "bool"]]);
  expectArgs(flags, "delete", 1);
  await remove(context.root, flags.args[0]!, { force: flags.bool("force"), warn: context.warn });
  return 0;
}

export async function pauseVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, []);
  expectArgs(flags, "pause", 1);
  await pause(context.root, flags.args[0]!);
  return 0;
}

export async function resumeVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, []);
  expectArgs(flags, "resume", 1);
  await resume(context.root, flags.args[0]!);
  return 0;
}

export async function explainVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [["bundle", "b", "string"]]);
  expectArgs(flags, "explain", 0, 1);
  const bundle = resolve(flags.args[0] ?? (flags.string("bundle") || "."));
  for (const line of explain(bundle, "example", context.warn)) process.stdout.write(`${line}\n`);
  return 0;
}

export async function featuresVerb(_context: Context, argv: string[]): Promise<number> {
  expectArgs(parseFlags(argv, []), "features", 0);
  process.stdout.write(`${JSON.stringify(features(), null, "    ")}\n`);
  return 0;
}
