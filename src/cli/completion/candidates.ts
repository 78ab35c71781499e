/** What may come next on a command line. */
import type { Cli } from "../cli.ts";
import { childOf, type Group, type Node, type tree } from "../tree.ts";

/** `words` without the program; the last one is being typed. Asks no daemon that does not already run. */
export async function candidates(cli: Cli, root: typeof tree, words: readonly string[]): Promise<string[]> {
  const typed = words.at(-1) ?? "";
  const path = words.slice(0, -1).filter((word) => !word.startsWith("-"));
  const first = path[0];
  let names: string[];
  if (first === undefined) names = Object.keys(root);
  else {
    const entry: Node | Group | undefined = Object.hasOwn(root, first) ? root[first] : undefined;
    if (!entry) return [];
    if ("children" in entry && path.length === 1) names = Object.keys(entry.children);
    else {
      const node = "children" in entry ? childOf(entry, path[1]!) : entry;
      if (!node) return [];
      const command = (await node.load()).default;
      const visible = Object.entries(command.flags).filter(([, flag]) => !flag.hidden);
      if (typed.startsWith("-")) names = ["--help", ...visible.map(([name]) => `--${name}`)];
      else names = await objects(cli, command.usage);
    }
  }
  return [...new Set(names)].filter((name) => name.startsWith(typed)).sort();
}

/** Names of the objects that the usage line speaks of. */
async function objects(cli: Cli, usage: string): Promise<string[]> {
  const daemon = await cli.daemon();
  if (daemon.ours && daemon.endpoint.kind === "unix") {
    const { existsSync } = await import("node:fs");
    if (!existsSync(daemon.endpoint.path)) return [];
  }
  const client = await cli.client();
  if (/^\[?CONTAINER|NETWORK CONTAINER/.test(usage))
    return (await client.containers.list({ all: true })).map(({ Names }) => (Names[0] ?? "").slice(1));
  if (/IMAGE|^NAME\[:TAG/.test(usage))
    return (await client.images.list()).flatMap(({ RepoTags }) => RepoTags ?? []);
  if (usage.startsWith("NETWORK")) return (await client.networks.list()).map(({ Name }) => Name);
  if (/^\[?VOLUME/.test(usage)) return ((await client.volumes.list()).Volumes ?? []).map(({ Name }) => Name);
  return [];
}
