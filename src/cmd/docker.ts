/** The docker-compatible command line. Called `corten`, or `docker` when the executable bears that name. */
import { basename } from "../base/lazy.ts";
import { runCommandLine } from "../cli/main.ts";

export async function main(argv: string[]): Promise<number> {
  const called = basename(process.argv0);
  const code = await runCommandLine(called === "docker" ? "docker" : "corten", argv);
  // A pending read of stdin would keep the process alive; all output has been written by now.
  process.exit(code);
}
