import { parseArgs } from "node:util";
import { defaultConfig } from "../../crio/config/defaults.ts";
import { printConfig } from "../../crio/config/print.ts";
import { readConfig } from "../../crio/config/read.ts";
import type { CommandLine } from "./flags.ts";

/** Prints the configuration in effect as a file; what is not the default is not commented out. */
export async function config({ files, overrides }: CommandLine, argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { default: { type: "boolean" } } });
  process.stdout.write(printConfig(values.default ? defaultConfig() : readConfig(files, overrides).config));
  return 0;
}
