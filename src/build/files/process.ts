/** The process behind `putInProcess`: one files operation, then it ends. */
import { asCortenError } from "../../base/errors.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { type PutRequest, put } from "./put.ts";
import { isCompiled, type ProcessReply } from "./spawn.ts";
import { Turns } from "./turns.ts";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

export async function main(): Promise<number> {
  // New files get the modes that they are made with.
  process.umask(0);
  // A snapshot that nobody waits for any more is not filled further.
  rawSyscall("prctl", PR_SET_PDEATHSIG, SIGKILL);
  let reply: ProcessReply;
  try {
    const request = JSON.parse(await Bun.stdin.text()) as PutRequest;
    reply = { ok: await put(request, new Turns()) };
  } catch (error) {
    const { code, message } = asCortenError(error);
    reply = { error: { code, message } };
  }
  await Bun.write(Bun.stdout, `${JSON.stringify(reply)}\n`);
  return 0;
}

// In the compiled executable every module is the main one, and `main.ts` does the calling.
if (import.meta.main && !isCompiled) process.exitCode = await main();
