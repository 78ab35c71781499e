/** Verbs that do the same to each of their arguments: print what went well, collect what did not. */
import type { Cli } from "../cli.ts";
import { joinErrors, StatusError } from "../errors.ts";

/** At most this many calls at once, as docker does. */
const parallel = 50;

/** All at once; names are printed in the order given. */
export async function forEach(
  cli: Cli,
  names: readonly string[],
  work: (name: string) => Promise<unknown>,
): Promise<void> {
  const results: Array<Promise<unknown>> = [];
  const running = new Set<Promise<unknown>>();
  const errors: unknown[] = [];
  const settle = names.map((name) => async () => {
    const done = work(name);
    running.add(done);
    await done.catch(() => {}).finally(() => running.delete(done));
    return done;
  });
  for (const start of settle) {
    if (running.size >= parallel) await Promise.race([...running].map((one) => one.catch(() => {})));
    const result = start();
    result.catch(() => {});
    results.push(result);
  }
  for (const [at, result] of results.entries()) {
    try {
      await result;
      cli.out.line(names[at]!);
    } catch (error) {
      errors.push(error);
    }
  }
  const joined = joinErrors(errors);
  if (joined) throw joined;
}

/** Asks `question [y/N]`; false without an answer. */
export async function confirm(cli: Cli, question: string): Promise<boolean> {
  cli.out.write(`${question} [y/N] `);
  for await (const chunk of Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>)
    return /^y(es)?$/i.test(Buffer.from(chunk).toString().split("\n")[0]!.trim());
  cli.out.write("\n");
  return false;
}

export const cancelled = () => new StatusError(1, "operation cancelled");
