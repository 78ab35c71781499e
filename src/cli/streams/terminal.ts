import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";

/** Refuses a terminal when stdin is wanted and ours is none. */
export function checkTerminal(cli: Cli, stdin: boolean, tty: boolean): void {
  if (tty && stdin && !cli.stdinIsTerminal) throw new StatusError(1, "the input device is not a TTY");
}
