/** The command line: global flags, finding the verb, help, and turning what is thrown into text and exit codes. */
import { asCortenError } from "../base/errors.ts";
import { Cli, type GlobalOptions } from "./cli.ts";
import type { ArgumentRule, Command } from "./command.ts";
import { StatusError } from "./errors.ts";
import { bool, type FlagTable, list, string } from "./flags/flag.ts";
import { FlagError, parseFlags } from "./flags/parse.ts";
import { stillWriting } from "./streams/output.ts";
import { childOf, type Group, type Node, tree } from "./tree.ts";

/** The flags before the verb: which daemon, and how to reach it. */
export const globalFlags = {
  config: string("", "Directory of the client's configuration"),
  context: string("c", "Context that names the daemon (instead of DOCKER_HOST and the default context)"),
  debug: bool("D", "Say more about what happens"),
  host: list("H", "Socket of the daemon"),
  "log-level": string("l", 'How much to log ("debug", "info", "warn", "error", "fatal")', "info"),
  tls: bool("", "Use TLS; --tlsverify includes it"),
  tlscacert: string("", "Trust only certificates signed by this authority"),
  tlscert: string("", "File with our certificate"),
  tlskey: string("", "File with our key"),
  tlsverify: bool("", "Use TLS and check who answers"),
  version: bool("v", "Print the version and end"),
} satisfies FlagTable;

/** What holds without any of them. */
export function defaults(): GlobalOptions {
  return {
    config: "",
    context: "",
    debug: false,
    host: [],
    tls: false,
    tlsverify: false,
    tlscacert: "",
    tlscert: "",
    tlskey: "",
  };
}

const help = { help: { ...bool("", "Show this help"), hidden: true } };
const shortHelp = { help: { ...bool("h", "Show this help"), hidden: true } };

/** Runs one command line; resolves to the exit code. */
export async function runCommandLine(program: string, argv: readonly string[]): Promise<number> {
  const code = await runLine(program, argv);
  const writing = stillWriting();
  if (writing) await writing;
  return code;
}

async function runLine(program: string, argv: readonly string[]): Promise<number> {
  const fallback = new Cli(program, defaults());
  try {
    return (await dispatch(program, argv, fallback)) ?? 0;
  } catch (error) {
    if (error instanceof StatusError) {
      if (error.message !== "") fallback.err.line(error.message);
      return error.exitCode;
    }
    if (process.env["CORTEN_DEBUG"]) console.error(error);
    fallback.err.line(asCortenError(error).message);
    return 1;
  }
}

async function dispatch(
  program: string,
  argv: readonly string[],
  fallback: Cli,
): Promise<number | undefined | void> {
  const parsed = await parseOr125(
    program,
    () => `${program} [OPTIONS] COMMAND [ARG...]`,
    () => parseFlags({ ...globalFlags, ...shortHelp }, argv, false),
  );
  const { values } = parsed;
  const cli = new Cli(program, {
    ...defaults(),
    ...values,
    // As docker: TLS is on however that flag was given, `--tlsverify=false` included.
    tls: values.tls || parsed.changed.has("tlsverify"),
  });
  if (values.version) {
    const { versionLine } = await import("./product.ts");
    cli.out.line(versionLine(program));
    return 0;
  }
  let words = parsed.args;
  let wantsHelp = values.help;
  if (words[0] === "help") {
    wantsHelp = true;
    words = words.slice(1);
  }
  if (words.length === 0) {
    await showRootHelp(cli);
    return 0;
  }
  const entry = Object.hasOwn(tree, words[0]!) ? tree[words[0]!]! : undefined;
  if (!entry)
    throw new StatusError(
      1,
      `${program}: unknown command: ${program} ${words[0]}\n\nRun '${program} --help' for more information`,
    );
  if ("children" in entry) return runGroup(cli, words[0]!, entry, words.slice(1), wantsHelp);
  void fallback;
  return runNode(cli, `${program} ${words[0]}`, entry, words.slice(1), wantsHelp);
}

async function runGroup(
  cli: Cli,
  name: string,
  group: Group,
  argv: string[],
  wantsHelp: boolean,
): Promise<number | undefined | void> {
  const path = `${cli.program} ${name}`;
  const parsed = await parseOr125(
    path,
    () => path,
    () => parseFlags(shortHelp, argv, false),
  );
  const word = parsed.args[0];
  if (word === undefined || (wantsHelp && !childOf(group, word)) || parsed.values.help) {
    const { groupHelp } = await import("./usage.ts");
    cli.out.write(`\n${groupHelp(path, group)}`.slice(1));
    return 0;
  }
  const node = childOf(group, word);
  if (!node)
    throw new StatusError(
      1,
      `${cli.program}: unknown command: ${path} ${word}\n\nUsage:  ${path}\n\nRun '${path} --help' for more information`,
    );
  return runNode(cli, `${path} ${word}`, node, parsed.args.slice(1), wantsHelp);
}

async function runNode(
  cli: Cli,
  path: string,
  node: Node,
  argv: string[],
  wantsHelp: boolean,
): Promise<number | undefined | void> {
  const command = (await node.load()).default;
  const showHelp = async () => {
    const { commandHelp } = await import("./usage.ts");
    const aliases = (node.also ?? []).map((alias) => `${cli.program} ${alias}`);
    cli.out.write(commandHelp(path, node, command, aliases, cli.helpWidth));
    return 0;
  };
  if (wantsHelp) return showHelp();
  const line = async () => (await import("./usage.ts")).usageLine(path, command);
  const table: FlagTable = { ...command.flags, ...(command.ownsShortHelp ? help : shortHelp) };
  const parsed = await parseOr125(path, line, () => parseFlags(table, argv, command.interspersed ?? true));
  if (parsed.values["help"]) return showHelp();
  await checkArguments(cli.program, path, line, command.arguments, parsed.args.length);
  return runIt(cli, command, path, parsed);
}

function runIt(
  cli: Cli,
  command: Command,
  path: string,
  parsed: { args: string[]; values: Record<string, unknown>; changed: ReadonlySet<string> },
) {
  return command.run({ cli, path, ...parsed });
}

/** `line` gives the usage line, which only an error shows. */
async function parseOr125<T>(path: string, line: () => string | Promise<string>, parse: () => T): Promise<T> {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    throw new StatusError(
      125,
      `${error.message}\n\nUsage:  ${await line()}\n\nRun '${path} --help' for more information`,
    );
  }
}

/** Docker's words for too few and too many arguments, its two odd "See" and "SRun" included: scripts match them. */
async function checkArguments(
  program: string,
  path: string,
  usage: () => Promise<string>,
  rule: ArgumentRule,
  count: number,
): Promise<void> {
  const { min = 0, max = Number.POSITIVE_INFINITY } = rule;
  if (count >= min && count <= max) return;
  const line = await usage();
  const plural = (n: number) => (n === 1 ? "argument" : "arguments");
  const fail = (what: string, hint = "Run") =>
    new StatusError(
      1,
      `${program}: '${path}' ${what}\n\nUsage:  ${line}\n\n${hint} '${path} --help' for more information`,
    );
  if (max === 0) throw fail("accepts no arguments");
  if (min === max) throw fail(`requires ${min} ${plural(min)}`);
  if (max === Number.POSITIVE_INFINITY) throw fail(`requires at least ${min} ${plural(min)}`, "See");
  if (min === 0) throw fail(`requires at most ${max} ${plural(max)}`, "SRun");
  throw fail(`requires at least ${min} and at most ${max} ${plural(max)}`);
}

async function showRootHelp(cli: Cli): Promise<void> {
  const { rootHelp } = await import("./usage.ts");
  cli.out.write(rootHelp(cli.program, tree, globalFlags, cli.helpWidth));
}
