/** What may come next on a command line. */
import { Cli } from "../cli.ts";
import type { Flag, FlagTable } from "../flags/flag.ts";
import { FlagError, parseFlags } from "../flags/parse.ts";
import type { Node } from "../frequent.ts";
import { type defaults, globalFlags } from "../main.ts";
import { childOf, type Group, type tree } from "../tree.ts";

export interface Candidates {
  names: string[];
  /** The shell may offer files as well. */
  files: boolean;
}

const nothing: Candidates = { names: [], files: false };
const files: Candidates = { names: [], files: true };

/**
 * `words` without the program; the last one is being typed. The flags before the verb count as they would for the verb
 * itself. Asks no daemon that does not already run.
 */
export async function candidates(cli: Cli, root: typeof tree, words: readonly string[]): Promise<Candidates> {
  const typed = words.at(-1) ?? "";
  const line = scan(globalFlags, words.slice(0, -1), false);
  const [first, ...rest] = line.args;
  const offer = ({ names, files: also }: Candidates): Candidates => ({
    names: [...new Set(names)].filter((name) => name.startsWith(typed)).sort(),
    files: also,
  });
  if (line.awaiting) return flagValue(cli, line.awaiting);
  if (first === undefined)
    return offer(typed.startsWith("-") ? flagNames(globalFlags) : { names: Object.keys(root), files: false });
  const entry: Node | Group | undefined = Object.hasOwn(root, first) ? root[first] : undefined;
  if (!entry) return nothing;
  const group = "children" in entry;
  if (group && rest.length === 0) return offer({ names: Object.keys(entry.children), files: false });
  const node = group ? childOf(entry, rest[0]!) : entry;
  if (!node) return nothing;
  const command = (await node.load()).default;
  const own = scan(command.flags, group ? rest.slice(1) : rest, command.interspersed ?? true);
  const target = new Cli(cli.program, { ...cli.options, ...line.options });
  if (own.awaiting) return offer(await flagValue(target, own.awaiting));
  const flagsEnded = command.interspersed === false && own.args.length > 0;
  if (typed.startsWith("-") && !own.ended && !flagsEnded) return offer(flagNames(command.flags));
  return offer(await argument(target, command.usage, own.args.length, own.args));
}

const flagNames = (table: FlagTable): Candidates => ({
  names: [
    "--help",
    ...Object.entries(table)
      .filter(([, flag]) => !flag.hidden)
      .map(([name]) => `--${name}`),
  ],
  files: false,
});

interface Line {
  args: string[];
  /** The flag whose value is being typed. */
  awaiting: string | undefined;
  /** `--` was there. */
  ended: boolean;
  options: Partial<ReturnType<typeof defaults>>;
}

/** What is before the cursor, as the real parser takes it; words it would refuse are passed over. */
function scan(table: FlagTable, words: readonly string[], interspersed: boolean): Line {
  const line: Line = { args: [], awaiting: undefined, ended: false, options: {} };
  const short = new Map<string, [string, Flag<unknown>]>();
  for (const [name, flag] of Object.entries(table))
    if (flag.short !== "") short.set(flag.short, [name, flag]);
  const taken: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === "--") {
      line.ended = true;
      line.args.push(...words.slice(at + 1));
      break;
    }
    if (word.length < 2 || !word.startsWith("-")) {
      line.args.push(...(interspersed ? [word] : words.slice(at)));
      if (!interspersed) break;
      continue;
    }
    const name = word.startsWith("--") ? word.slice(2) : short.get(word.at(-1)!)?.[0];
    const flag = name !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;
    const wantsMore = flag !== undefined && flag.alone === undefined && !word.includes("=");
    // `-nvalue` has its value with it.
    const bundled = !word.startsWith("--") && word.length > 2 && short.get(word[1]!)?.[1].alone === undefined;
    if (!wantsMore || bundled) {
      taken.push(word);
      continue;
    }
    if (at + 1 === words.length) line.awaiting = name;
    else taken.push(word, words[++at]!);
  }
  try {
    const { values, changed } = parseFlags(table, taken, true);
    line.options = Object.fromEntries([...changed].map((name) => [name, values[name]]));
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
  }
  return line;
}

/** What a flag's value may be. */
function flagValue(cli: Cli, flag: string): Candidates | Promise<Candidates> {
  if (flag === "network" || flag === "net") return named(cli, "network");
  if (flag === "volumes-from" || flag === "link") return named(cli, "container");
  return /file$|^(config|input|output|volume|mount|secret|tls.*|build-context)$/.test(flag) ? files : nothing;
}

/** What the argument at a place may be, by the words of the usage line. */
async function argument(cli: Cli, usage: string, at: number, before: readonly string[]): Promise<Candidates> {
  const places = (usage.split("\n")[0] ?? "").split(" ").filter((word) => word !== "" && word !== "|");
  const many = places.findIndex((word) => word.includes("..."));
  const place = (places[at] ?? (many >= 0 ? places[many] : "") ?? "").replace(/^\[/, "");
  if (/^CONTAINER:/.test(place)) {
    const { names } = await named(cli, "container");
    return { names: names.map((name) => `${name}:`), files: true };
  }
  if (place.startsWith("CONTAINER")) return without(await named(cli, "container"), before);
  if (/IMAGE|^NAME\[:TAG/.test(place)) return without(await named(cli, "image"), before);
  if (place.startsWith("NETWORK")) return without(await named(cli, "network"), before);
  if (place.startsWith("VOLUME")) return without(await named(cli, "volume"), before);
  return /PATH|file|^-/.test(place) ? files : nothing;
}

/** What is there already is not offered again. */
const without = ({ names }: Candidates, before: readonly string[]): Candidates => ({
  names: names.filter((name) => !before.includes(name)),
  files: false,
});

async function named(cli: Cli, what: "container" | "image" | "network" | "volume"): Promise<Candidates> {
  const daemon = cli.daemon();
  if (daemon.ours && daemon.endpoint.kind === "unix") {
    const { existsSync } = await import("node:fs");
    if (!existsSync(daemon.endpoint.path)) return nothing;
  }
  const client = await cli.client();
  const names = async () => {
    switch (what) {
      case "container":
        return (await client.containers.list({ all: true })).map(({ Names }) => (Names[0] ?? "").slice(1));
      case "image":
        return (await client.images.list()).flatMap(({ RepoTags }) => RepoTags ?? []);
      case "network":
        return (await client.networks.list()).map(({ Name }) => Name);
      case "volume":
        return ((await client.volumes.list()).Volumes ?? []).map(({ Name }) => Name);
    }
  };
  return { names: await names(), files: false };
}
