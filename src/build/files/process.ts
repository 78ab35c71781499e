/** The process behind `putInProcess` and `digestInProcess`: one piece of work, then it ends. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { asCortenError } from "../../base/errors.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { put } from "./put.ts";
import { isCompiled, type ProcessReply, type ProcessRequest } from "./spawn.ts";
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
    const request = JSON.parse(await Bun.stdin.text()) as ProcessRequest;
    reply = {
      ok: "put" in request ? await put(request.put, new Turns()) : digestOfFile(request.digest),
    };
  } catch (error) {
    const { code, message } = asCortenError(error);
    reply = { error: { code, message } };
  }
  await Bun.write(Bun.stdout, `${JSON.stringify(reply)}\n`);
  return 0;
}

function digestOfFile(path: string): string {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(path, "r");
  for (let length = 1; length > 0; ) {
    length = readSync(fd, buffer, 0, buffer.length, null);
    hash.update(buffer.subarray(0, length));
  }
  closeSync(fd);
  return hash.digest("hex");
}

// In the compiled executable every module is the main one, and `main.ts` does the calling.
if (import.meta.main && !isCompiled) process.exitCode = await main();
