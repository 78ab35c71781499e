/** What a verb is: its flags, how many arguments it takes, and what it does. */
import type { Cli } from "./cli.ts";
import type { FlagTable, Values } from "./flags/flag.ts";

export interface ArgumentRule {
  min?: number;
  max?: number;
}

export interface Invocation<T extends FlagTable> {
  cli: Cli;
  args: string[];
  values: Values<T>;
  changed: ReadonlySet<string>;
  /** As the user called it: `docker container ls`. */
  path: string;
}

export interface Command<T extends FlagTable = FlagTable> {
  /** Arguments of the usage line after `[OPTIONS]`: `CONTAINER [CONTAINER...]`. */
  usage: string;
  /** Longer text for the help; the one line of the tree otherwise. */
  long?: string;
  arguments: ArgumentRule;
  flags: T;
  /** False when flags after the first argument belong to the container's command. */
  interspersed?: boolean;
  /** True when `-h` is a flag of its own and only `--help` asks for help. */
  ownsShortHelp?: boolean;
  /** Resolves to the exit code, 0 if it resolves to nothing. */
  run(invocation: Invocation<T>): Promise<number | undefined | void>;
}

/** Lets a verb's file be typed by its own flags. */
export function defineCommand<T extends FlagTable>(command: Command<T>): Command {
  return command as unknown as Command;
}
