/** The command line: global flags, finding the verb, help, and turning what is thrown into text and exit codes. */
import { asCortenError } from "../base/errors.ts";
import { Cli, type GlobalOptions } from "./cli.ts";
import type { ArgumentRule } from "./command.ts";
import { StatusError } from "./errors.ts";
import { bool, type FlagTable, list, string } from "./flags/flag.ts";
import { FlagError, type Parsed, parseFlags } from "./flags/parse.ts";
import { frequent, type Node } from "./frequent.ts";
import { stillWriting } from "./streams/output.ts";
import type { Group } from "./tree.ts";

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

/**
 * Runs one command line; resolves to the exit code. What succeeds meets few functions here, and fewer async ones: each
 * costs up to 0.02 ms when it is first called, and all are called but once.
 */
export async function runCommandLine(program: string, argv: readonly string[]): Promise<number> {
  let code: number;
  try {
    code = (await dispatch(program, argv)) ?? 0;
  } catch (error) {
    code = failed(program, error);
  }
  const writing = stillWriting();
  if (writing) await writing;
  return code;
}

/** Tells the user, and gives the exit code. */
function failed(program: string, error: unknown): number {
  const { err } = new Cli(program, defaults());
  if (error instanceof StatusError) {
    if (error.message !== "") err.line(error.message);
    return error.exitCode;
  }
  if (process.env["CORTEN_DEBUG"]) console.error(error);
  err.line(asCortenError(error).message);
  return 1;
}

type ExitCode = number | undefined | void;

function dispatch(program: string, argv: readonly string[]): Promise<ExitCode> {
  const { values, args, changed } = parseOr125(
    program,
    () => `${program} [OPTIONS] COMMAND [ARG...]`,
    { ...globalFlags, ...shortHelp },
    argv,
    false,
  );
  const cli = new Cli(program, {
    ...defaults(),
    ...values,
    // As docker: TLS is on however that flag was given, `--tlsverify=false` included.
    tls: values.tls || changed.has("tlsverify"),
  });
  const word = args[0];
  if (!values.version && !values.help && word !== undefined && Object.hasOwn(frequent, word))
    return runNode(cli, `${program} ${word}`, frequent[word]!, args.slice(1), false);
  return dispatchAny(cli, args, values.version, values.help);
}

/** The same for all verbs, and what is none. */
async function dispatchAny(
  cli: Cli,
  words: string[],
  wantsVersion: boolean,
  wantsHelp: boolean,
): Promise<ExitCode> {
  const { program } = cli;
  if (wantsVersion) {
    const { versionLine } = await import("./product.ts");
    cli.out.line(versionLine(program));
    return 0;
  }
  const { tree } = await import("./tree.ts");
  const asked = words[0] === "help";
  const help = wantsHelp || asked;
  const [word, ...rest] = asked ? words.slice(1) : words;
  if (word === undefined) {
    cli.out.write(usage().rootHelp(program, tree, globalFlags, cli.helpWidth));
    return 0;
  }
  const entry = Object.hasOwn(tree, word) ? tree[word]! : undefined;
  if (!entry)
    throw new StatusError(
      1,
      `${program}: unknown command: ${program} ${word}\n\nRun '${program} --help' for more information`,
    );
  if ("children" in entry) return runGroup(cli, word, entry, rest, help);
  return runNode(cli, `${program} ${word}`, entry, rest, help);
}

async function runGroup(
  cli: Cli,
  name: string,
  group: Group,
  argv: string[],
  wantsHelp: boolean,
): Promise<ExitCode> {
  const path = `${cli.program} ${name}`;
  const { childOf } = await import("./tree.ts");
  const parsed = parseOr125(path, () => path, shortHelp, argv, false);
  const word = parsed.args[0];
  if (word === undefined || (wantsHelp && !childOf(group, word)) || parsed.values.help) {
    cli.out.write(`\n${usage().groupHelp(path, group)}`.slice(1));
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
): Promise<ExitCode> {
  const command = (await node.load()).default;
  const line = () => usage().usageLine(path, command);
  const parsed = wantsHelp
    ? undefined
    : parseOr125(
        path,
        line,
        { ...command.flags, ...(command.ownsShortHelp ? help : shortHelp) } as FlagTable,
        argv,
        command.interspersed ?? true,
      );
  if (!parsed || parsed.values["help"]) {
    const aliases = (node.also ?? []).map((alias) => `${cli.program} ${alias}`);
    cli.out.write(usage().commandHelp(path, node, command, aliases, cli.helpWidth));
    return 0;
  }
  checkArguments(cli.program, path, line, command.arguments, parsed.args.length);
  const { args, values, changed } = parsed;
  return command.run({ cli, path, args, values, changed });
}

/** Only help and errors need it. */
const usage = () => require("./usage.ts") as typeof import("./usage.ts");

/** `line` gives the usage line, which only an error shows. */
function parseOr125<T extends FlagTable>(
  path: string,
  line: () => string,
  table: T,
  argv: readonly string[],
  interspersed: boolean,
): Parsed<T> {
  try {
    return parseFlags(table, argv, interspersed);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    throw new StatusError(
      125,
      `${error.message}\n\nUsage:  ${line()}\n\nRun '${path} --help' for more information`,
    );
  }
}

/** Docker's words for too few and too many arguments, its two odd "See" and "SRun" included: scripts match them. */
function checkArguments(
  program: string,
  path: string,
  usage: () => string,
  rule: ArgumentRule,
  count: number,
): void {
  const { min = 0, max = Number.POSITIVE_INFINITY } = rule;
  if (count >= min && count <= max) return;
  const line = usage();
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
