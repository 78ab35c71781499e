/** `corten crictl`: crictl's verbs, flags, tables and files, for any CRI v1 server. */
import packageFile from "../../package.json";
import { messageOf } from "../base/errors.ts";
import { fs } from "../base/lazy.ts";
import type { Call, Command } from "./command.ts";
import { findVerb, loadVerb, verbs } from "./commands/index.ts";
import { ExitError } from "./errors.ts";
import { type Flags, type ParsedLine, parseLine, UsageError } from "./flags.ts";
import { commandHelp, helpFlag, programHelp, versionFlag } from "./help.ts";
import { log } from "./log.ts";
import { globalFlags, resolveSettings } from "./settings.ts";

const version = `corten-${packageFile.version}`;

/** Runs one command line; resolves to the exit code. */
export async function main(argv: string[]): Promise<number> {
  try {
    await dispatch(argv);
    return 0;
  } catch (error) {
    if (error instanceof ExitError) {
      if (error.message !== "") fs().writeSync(2, `${error.message}\n`);
      return error.code;
    }
    if (process.env["CORTEN_DEBUG"]) console.error(error);
    log("error", messageOf(error));
    return 1;
  }
}

async function dispatch(argv: readonly string[]): Promise<void> {
  const flags = [...globalFlags, helpFlag, versionFlag];
  const showHelp = () => print(programHelp(version, verbs, globalFlags));
  const line = parsed(() => parseLine(flags, argv), showHelp);
  if (line.flags.is("help")) return showHelp();
  if (line.flags.is("version")) return print(`crictl version ${version}\n`);
  const [name, ...words] = line.args;
  const settings = resolveSettings(line.flags, name === "config");
  if (name === undefined) return showHelp();
  if (name === "help" || name === "h") return words[0] === undefined ? showHelp() : showTopic(words[0]);
  const entry = findVerb(name);
  if (!entry) throw new ExitError(`No help topic for '${name}'`, 3);
  const command = await loadVerb(entry);

  const interrupts = new AbortController();
  const connections: { close(): void }[] = [];
  const opened = (connection: { close(): void }) => void connections.push(connection);
  const onInterrupt = () => {
    if (interrupts.signal.aborted) process.exit(1);
    interrupts.abort();
  };
  const watch = () => {
    process.on("SIGINT", onInterrupt);
    process.on("SIGTERM", onInterrupt);
  };
  const makeCall = (commandFlags: Flags, args: readonly string[], help: () => void): Call => ({
    flags: commandFlags,
    args,
    settings,
    interrupted: interrupts.signal,
    help,
    print,
    printError: (data) => writeAll(2, data),
    async runtime(timeout = 0) {
      watch();
      const { openRuntime } = await import("./services.ts");
      return openRuntime(settings, timeout, interrupts.signal, opened);
    },
    async images() {
      watch();
      const { openImages } = await import("./services.ts");
      return openImages(settings, interrupts.signal, opened);
    },
  });
  try {
    await run(`crictl ${command.name}`, command, words, line.flags, makeCall);
  } finally {
    for (const connection of connections) connection.close();
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

async function run(
  path: string,
  command: Command,
  words: readonly string[],
  outer: Flags,
  makeCall: (flags: Flags, args: readonly string[], help: () => void) => Call,
): Promise<void> {
  const wrongCall = () => print(commandHelp(path, command, false));
  const { flags, args } = parsed(
    () =>
      parseLine([...command.flags, helpFlag], words, { shortOptions: command.shortOptions ?? false, outer }),
    wrongCall,
  );
  const own = command.subcommands ?? [];
  const asked = () => print(commandHelp(path, command, own.length === 0));
  if (flags.is("help")) return asked();
  const child = own.find(({ name, aliases = [] }) => name === args[0] || aliases.includes(args[0] ?? ""));
  if (child) return run(`${path} ${child.name}`, child, args.slice(1), flags, makeCall);
  if (args[0] === "help" || args[0] === "h") return asked();
  await command.run(makeCall(flags, args, wrongCall));
}

async function showTopic(name: string): Promise<void> {
  const entry = findVerb(name);
  if (!entry) throw new ExitError(`No help topic for '${name}'`, 3);
  const command = await loadVerb(entry);
  print(commandHelp(`crictl ${command.name}`, command, (command.subcommands ?? []).length === 0));
}

/** A line that does not fit is answered with the help and fails. */
function parsed(parse: () => ParsedLine, help: () => void): ParsedLine {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    print(`Incorrect Usage: ${error.message}\n\n`);
    help();
    throw error;
  }
}

const print = (data: string | Uint8Array) => writeAll(1, data);

/** All of it, whoever reads: a full pipe is waited for. */
function writeAll(fd: number, data: string | Uint8Array): void {
  let bytes = typeof data === "string" ? Buffer.from(data) : data;
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(fs().writeSync(fd, bytes));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE") process.exit(141);
      if (code !== "EAGAIN") throw error;
      Bun.sleepSync(2);
    }
  }
}
