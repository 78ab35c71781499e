/** Help texts in docker's layout. Wrapping follows pflag's rules: a column for names, text wrapped at the width. */
import type { Command } from "./command.ts";
import type { FlagTable } from "./flags/flag.ts";
import type { Node } from "./frequent.ts";
import type { Group } from "./tree.ts";

/** The usage line: `docker run [OPTIONS] IMAGE [COMMAND] [ARG...]`. */
export function usageLine(path: string, command: Command): string {
  const options = visible(command.flags).length > 0 ? " [OPTIONS]" : "";
  return `${path}${options}${command.usage === "" ? "" : ` ${command.usage}`}`;
}

export function commandHelp(
  path: string,
  node: Node,
  command: Command,
  aliases: string[],
  width: number,
): string {
  let text = `Usage:  ${usageLine(path, command)}\n\n${command.long ?? node.summary}\n`;
  if (aliases.length > 1) text += `\nAliases:\n  ${aliases.join(", ")}\n`;
  if (visible(command.flags).length > 0) text += `\nOptions:\n${flagUsages(command.flags, width)}\n`;
  return text;
}

export function groupHelp(path: string, group: Group): string {
  const text = `Usage:  ${path} COMMAND\n\n${group.summary}\n\nCommands:\n${rows(group.children)}`;
  return `${text}\nRun '${path} COMMAND --help' for more information on a command.\n`;
}

export function rootHelp(
  program: string,
  tree: Record<string, Node | Group>,
  flags: FlagTable,
  width: number,
): string {
  const common: Record<string, Node | Group> = {};
  const management: Record<string, Node | Group> = {};
  const others: Record<string, Node | Group> = {};
  for (const [name, entry] of Object.entries(tree)) {
    if ("children" in entry) management[name] = entry;
    else if (entry.common) common[name] = entry;
    else others[name] = entry;
  }
  return [
    `Usage:  ${program} [OPTIONS] COMMAND\n`,
    "Containers, from the command line down to the kernel, in one program\n",
    `Common Commands:\n${rows(common, false)}`,
    `Management Commands:\n${rows(management)}`,
    `Commands:\n${rows(others)}`,
    `Global Options:\n${flagUsages(flags, width)}\n`,
    `Run '${program} COMMAND --help' for more information on a command.\n`,
  ].join("\n");
}

function rows(entries: Record<string, Node | Group>, sorted = true): string {
  const names = Object.keys(entries);
  if (sorted) names.sort();
  return names.map((name) => `  ${name.padEnd(11)} ${entries[name]!.summary}\n`).join("");
}

const visible = (flags: FlagTable) => Object.entries(flags).filter(([, flag]) => !flag.hidden);

/** The table of flags, sorted by name, without a newline at its end. */
export function flagUsages(flags: FlagTable, width: number): string {
  const lines = visible(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const head = flag.short === "" ? `      --${name}` : `  -${flag.short}, --${name}`;
      const fallback = flag.shownDefault === undefined ? "" : ` (default ${flag.shownDefault})`;
      return { head: flag.typeName === "" ? head : `${head} ${flag.typeName}`, text: flag.help + fallback };
    });
  const column = Math.max(0, ...lines.map((line) => line.head.length)) + 3;
  return lines
    .map((line) => line.head.padEnd(column) + wrap(column, width - 1, line.text).trimEnd())
    .join("\n");
}

/** Breaks `text` for a column that starts at `indent` on a screen of `width`. */
function wrap(indent: number, width: number, text: string): string {
  const slop = 5;
  let room = width - indent;
  if (room < 24) {
    room = width - 16;
    if (room < 24) return text.replaceAll("\n", `\n${" ".repeat(indent)}`);
    return `\n${" ".repeat(16)}${breakLines(16, room - slop, slop, text)}`;
  }
  return breakLines(indent, room - slop, slop, text);
}

function breakLines(indent: number, room: number, slop: number, text: string): string {
  const lines: string[] = [];
  let rest = text;
  while (rest !== "") {
    const [line, after] = takeLine(room, slop, rest);
    lines.push(line);
    rest = after;
  }
  return lines.join("\n").replaceAll("\n", `\n${" ".repeat(indent)}`);
}

function takeLine(room: number, slop: number, text: string): [string, string] {
  if (room + slop > text.length) return [text, ""];
  const head = text.slice(0, room);
  const space = Math.max(head.lastIndexOf(" "), head.lastIndexOf("\t"), head.lastIndexOf("\n"));
  if (space <= 0) return [text, ""];
  const newline = head.lastIndexOf("\n");
  const at = newline > 0 && newline < space ? newline : space;
  return [text.slice(0, at), text.slice(at + 1)];
}
