/** Help in the layout of urfave/cli, which crictl's users know. */
import { goQuote } from "../cli/format/quote.ts";
import { alignColumns } from "../cli/format/tabwriter.ts";
import type { Command } from "./command.ts";
import { bool, type FlagSpec } from "./flags.ts";

export const helpFlag = bool("help,h", "show help");
export const versionFlag = bool("version,v", "print the version");

const helpCommand = { names: "help, h", usage: "Shows a list of commands or help for one command" };

interface Listed {
  names: string;
  usage: string;
}

const listed = (command: Pick<Command, "name" | "aliases" | "usage">): Listed => ({
  names: [command.name, ...(command.aliases ?? [])].join(", "),
  usage: command.usage,
});

/** `crictl --help`. */
export function programHelp(
  version: string,
  commands: readonly Pick<Command, "name" | "aliases" | "usage">[],
  flags: readonly FlagSpec[],
): string {
  return layOut(
    [
      "NAME:\n   crictl - client for CRI",
      "USAGE:\n   crictl [global options] command [command options]",
      `VERSION:\n   ${version}`,
      `COMMANDS:\n${commandLines([...commands.map(listed), helpCommand])}`,
      `GLOBAL OPTIONS:\n${flagLines([...byName(flags), helpFlag, versionFlag])}`,
    ].join("\n\n"),
  );
}

/**
 * A command's help. `asked` is false where a wrong call is answered with it; that form names the built-in `help`
 * command even when the command has no commands of its own.
 */
export function commandHelp(path: string, command: Command, asked: boolean): string {
  // The flags of a command below another one stay in their order.
  const flags = path.split(" ").length > 2 ? command.flags : byName(command.flags);
  const own = command.subcommands ?? [];
  const usage = `${path} [command options]${command.argsUsage ? ` ${command.argsUsage}` : command.takesArguments ? " [arguments...]" : ""}`;
  const sections = [`NAME:\n   ${path} - ${command.usage}`, `USAGE:\n   ${command.usageText ?? usage}`];
  if (command.description) sections.push(`DESCRIPTION:\n   ${wrap(command.description, 3)}`);
  if (own.length > 0 || !asked)
    sections.push(`COMMANDS:\n${commandLines([...own.map(listed), helpCommand])}`);
  sections.push(`OPTIONS:\n${flagLines([...flags, helpFlag])}`);
  return layOut(sections.join("\n\n"));
}

/** Capital and small letters together, as urfave/cli sorts names. */
const byName = (flags: readonly FlagSpec[]) =>
  [...flags].sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));

const layOut = (text: string) => alignColumns(`${text}\n`, { minWidth: 1, padding: 2 });

/** Lines after the first are indented; empty ones stay empty. */
function wrap(text: string, offset: number): string {
  const [first = "", ...others] = text.split("\n");
  const padding = " ".repeat(offset);
  return [first, ...others.map((line) => (line === "" ? line : padding + line))].join("\n");
}

function commandLines(commands: readonly Listed[]): string {
  const width = Math.max(...commands.map(({ names }) => names.length)) + 2;
  return commands.map(({ names, usage }) => `   ${names.padEnd(width)}${usage}`).join("\n");
}

const flagLines = (flags: readonly FlagSpec[]) =>
  flags.map((flag) => wrap(`   ${flagNames(flag)}\t${flagText(flag)}`, 6)).join("\n");

function flagNames(flag: FlagSpec): string {
  const placeholder = flag.kind === "bool" ? "" : ` ${/`([^`]*)`/.exec(flag.usage)?.[1] ?? "value"}`;
  const names = [flag.name, ...(flag.aliases ?? [])]
    .map((name) => `${name.length === 1 ? "-" : "--"}${name}${placeholder}`)
    .join(", ");
  return flag.kind === "strings" ? `${names} [ ${names} ]` : names;
}

function flagText(flag: FlagSpec): string {
  const shown = defaultText(flag);
  const parts = [
    flag.usage.replaceAll("`", ""),
    ...(shown === undefined ? [] : [`(default: ${shown})`]),
    ...(flag.env === undefined ? [] : [`[$${flag.env}]`]),
  ];
  return parts.join(" ");
}

function defaultText(flag: FlagSpec): string | undefined {
  if (flag === helpFlag || flag === versionFlag) return undefined;
  switch (flag.kind) {
    case "bool":
      return "false";
    case "int":
      return String(flag.initial ?? 0);
    case "duration":
      return `${Number(flag.initial ?? 0) / 1e9}s`;
    case "string":
      return flag.initial === undefined ? undefined : goQuote(String(flag.initial));
    default:
      return undefined;
  }
}
