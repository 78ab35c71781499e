/** A `run -d` or `exec` whose flags are plain, which is short; anything else goes to the command line of all verbs. */
import { callPlainExec } from "../cli/plain/call-exec.ts";
import { callPlainRun } from "../cli/plain/call-run.ts";
import { plainExec } from "../cli/plain/exec.ts";
import { plainRun } from "../cli/plain/run.ts";

export async function main(argv: string[]): Promise<number> {
  const { argv0, env } = process;
  const program = argv0 === "docker" || argv0.endsWith("/docker") ? "docker" : "corten";
  const run = plainRun(argv, env);
  const exec = run ? undefined : plainExec(argv, env);
  const code = run ? await callPlainRun(program, run) : exec ? await callPlainExec(program, exec) : undefined;
  if (code !== undefined) process.exit(code);
  return (await import("./docker.ts")).main(argv);
}
