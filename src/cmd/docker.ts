/** The docker-compatible command line. Called `corten`, or `docker` when the executable bears that name. */
import { basename } from "../base/lazy.ts";
import { runCommandLine } from "../cli/main.ts";

export function main(argv: string[]): Promise<number> {
  const called = basename(process.argv0);
  // A pending read of stdin would keep the process alive; all output has been written by now.
  return runCommandLine(called === "docker" ? "docker" : "corten", argv).then((code) => process.exit(code));
}
