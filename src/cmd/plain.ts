/** A `run -d` whose flags are plain, which is short; anything else goes to the command line of all verbs. */
import { plainRun } from "../cli/run/plain.ts";
import { callPlainRun } from "../cli/run/plain-call.ts";

export async function main(argv: string[]): Promise<number> {
  const run = plainRun(argv, process.env);
  if (run) {
    const { argv0 } = process;
    const program = argv0 === "docker" || argv0.endsWith("/docker") ? "docker" : "corten";
    const code = await callPlainRun(program, run);
    if (code !== undefined) process.exit(code);
  }
  return (await import("./docker.ts")).main(argv);
}
