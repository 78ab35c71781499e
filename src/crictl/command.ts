/** What a verb of crictl is, and what it gets to run with. */
import type { FlagSpec, Flags } from "./flags.ts";
import type { ImageConnection, RuntimeConnection } from "./services.ts";
import type { Settings } from "./settings.ts";

export interface Command extends VerbBody {
  name: string;
  aliases?: readonly string[];
  usage: string;
}

/** All but the names, which stand in the table of verbs. */
export interface VerbBody {
  /** Replaces the generated line of the help's USAGE. */
  usageText?: string;
  argsUsage?: string;
  /** The help shows `[arguments...]`. */
  takesArguments?: boolean;
  description?: string;
  /** `-it` means `-i -t`. */
  shortOptions?: boolean;
  flags: readonly FlagSpec[];
  subcommands?: readonly Command[];
  run(call: Call): Promise<void>;
}

/** One call of a verb. */
export interface Call {
  readonly flags: Flags;
  readonly args: readonly string[];
  readonly settings: Settings;
  /** `timeout` in nanoseconds takes the place of the configured one. */
  runtime(timeout?: number): Promise<RuntimeConnection>;
  images(): Promise<ImageConnection>;
  /** Aborts at the first interrupt. */
  readonly interrupted: AbortSignal;
  /** Shows how the verb is called, as crictl does when the arguments do not fit. */
  help(): void;
  print(data: string | Uint8Array): void;
  printError(data: string | Uint8Array): void;
}
