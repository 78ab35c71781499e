/** Large copies in a process of their own, which is this same executable, so that the daemon's event loop stays free. */
import { fileURLToPath } from "node:url";
import { CortenError, type ErrorCode } from "../../base/errors.ts";
import type { PutReply, PutRequest } from "./put.ts";
import { refuseAborted } from "./turns.ts";

/** The first word under which `main.ts` imports it. */
export const filesProgram = "build-files";

/** What the process is told on stdin. */
export type ProcessRequest =
  | { put: PutRequest }
  /** Path of a file in whole; the answer is its SHA-256 in hex. */
  | { digest: string };

export type ProcessReply = { ok: PutReply | string } | { error: { code: ErrorCode; message: string } };

/** True inside the executable that `bun build --compile` makes: sources are no files there. */
export const isCompiled = import.meta.url.includes("/$bunfs/");

function command(): string[] {
  // Not execPath: the executable may have been replaced under the running daemon, and this is still the old one.
  return isCompiled
    ? ["/proc/self/exe", filesProgram]
    : [process.execPath, fileURLToPath(new URL("./process.ts", import.meta.url))];
}

/** As `put`. Ending it half way loses nothing: the caller drops the snapshot then. */
export async function putInProcess(request: PutRequest, signal: AbortSignal): Promise<PutReply> {
  return (await ask({ put: request }, signal)) as PutReply;
}

/** SHA-256 of the open file `fd`, from its start; nobody else may move its position meanwhile. */
export async function digestInProcess(fd: number, signal: AbortSignal | undefined): Promise<string> {
  return (await ask({ digest: `/proc/${process.pid}/fd/${fd}` }, signal)) as string;
}

async function ask(request: ProcessRequest, signal: AbortSignal | undefined): Promise<PutReply | string> {
  refuseAborted(signal);
  const child = Bun.spawn(command(), {
    // It may be long: not an argument.
    stdin: Buffer.from(JSON.stringify(request)),
    stdout: "pipe",
    stderr: "pipe",
    ...(isCompiled ? { argv0: "corten" } : {}),
  });
  const abort = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const [out, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    refuseAborted(signal);
    const reply = parse(out);
    if (!reply) {
      const how = child.signalCode
        ? `was killed by ${child.signalCode}`
        : `exited with status ${child.exitCode}`;
      throw new CortenError("internal", `the copying process ${how}: ${errors.trim().slice(-2000)}`);
    }
    if ("error" in reply) throw new CortenError(reply.error.code, reply.error.message);
    return reply.ok;
  } finally {
    signal?.removeEventListener("abort", abort);
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
}

function parse(text: string): ProcessReply | undefined {
  try {
    return JSON.parse(text) as ProcessReply;
  } catch {
    return undefined;
  }
}
