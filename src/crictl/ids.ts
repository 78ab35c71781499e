import type { Call } from "./command.ts";
import { log } from "./log.ts";

/** The ids given, or with `--all` those of everything; without any the help is shown. */
export async function idsOf(
  call: Call,
  what: string,
  list: () => Promise<readonly { id: string }[]>,
): Promise<string[]> {
  if (call.flags.is("all")) {
    const ids = (await list()).map(({ id }) => id);
    if (ids.length === 0) log("info", `No ${what}s to remove`);
    return ids;
  }
  if (call.args.length === 0) call.help();
  return [...call.args];
}
