/**
 * Unpacking in a process of its own: untrusted archives are read apart from the daemon, its event loop stays
 * free, and the memory is given back at the end. The process is this same executable.
 */
import { spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { asCortenError, CortenError, type ErrorCode, messageOf } from "../../base/errors.ts";
import type { AppliedLayer, ApplyOptions, LayerLimits, LayerSource } from "./types.ts";
import { refuseAborted, type UnpackTarget } from "./unpack.ts";

/** The first words under which `main.ts` imports the two programs of this folder. */
export const unpackProgram = "store-unpack";
export const hashProgram = "store-hash";

/** What the process is told, as one line of JSON on descriptor 3. */
export interface UnpackRequest {
  target: UnpackTarget;
  /** Absent: the layer comes on stdin. */
  path?: string;
  limits?: Partial<LayerLimits>;
  expectedDiffId?: string;
}

/** What it answers, as one line of JSON on stdout. */
export type UnpackReply = { ok: AppliedLayer } | { error: { code: ErrorCode; message: string } };

/** True inside the executable that `bun build --compile` makes: sources are no files there. */
export const isCompiled = import.meta.url.includes("/$bunfs/");

function command(): [string, ...string[]] {
  // Not execPath: the executable may have been replaced under the running daemon, and this is still the old one.
  return isCompiled
    ? ["/proc/self/exe", unpackProgram]
    : [process.execPath, fileURLToPath(new URL("./unpack-process.ts", import.meta.url))];
}

export async function unpackInProcess(
  target: UnpackTarget,
  source: LayerSource,
  options: ApplyOptions,
): Promise<AppliedLayer> {
  refuseAborted(options.signal);
  const request: UnpackRequest = {
    target,
    ...("path" in source ? { path: source.path } : {}),
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.expectedDiffId ? { expectedDiffId: options.expectedDiffId } : {}),
  };
  const [program, ...args] = command();
  const child = spawn(program, [...args, JSON.stringify(request)], {
    stdio: ["path" in source ? "ignore" : "pipe", "pipe", "pipe"],
    argv0: isCompiled ? "corten" : program,
    // Killing it half way loses nothing: the target is dropped by the caller then.
    killSignal: "SIGKILL",
  });
  const ended = new Promise<string>((done, fail) => {
    child.once("error", (error) =>
      fail(
        new CortenError("internal", `cannot start the unpacking process: ${messageOf(error)}`, {
          cause: error,
        }),
      ),
    );
    child.once("close", (code, signal) =>
      done(signal ? `was killed by ${signal}` : `exited with status ${code}`),
    );
  });
  const abort = () => child.kill("SIGKILL");
  options.signal?.addEventListener("abort", abort, { once: true });
  let sourceError: { error: unknown } | undefined;
  if (!("path" in source) && child.stdin)
    feed(source, child.stdin, ended).catch((error) => {
      sourceError = { error };
      child.kill("SIGKILL");
    });
  try {
    const [out, errors, how] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (sourceError) throw asCortenError(sourceError.error);
    refuseAborted(options.signal);
    const reply = parseReply(out);
    if (!reply)
      throw new CortenError("internal", `the unpacking process ${how}: ${errors.trim().slice(-2000)}`);
    if ("error" in reply) throw new CortenError(reply.error.code, reply.error.message);
    return reply.ok;
  } finally {
    options.signal?.removeEventListener("abort", abort);
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
}

function parseReply(line: string): UnpackReply | undefined {
  try {
    return JSON.parse(line) as UnpackReply;
  } catch {
    return undefined;
  }
}

/** All a stream says before it ends or is closed, up to a sane length. */
function text(stream: Readable | null): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  return new Promise((done) => {
    if (!stream) return done("");
    const finish = () => done(Buffer.concat(parts).toString());
    stream.on("data", (part: Buffer) => {
      length += part.length;
      if (length <= 1 << 20) parts.push(part);
    });
    stream.once("end", finish).once("close", finish).once("error", finish);
  });
}

/** Writes the source to the process as fast as it takes it, until the process ends: its reply says why. */
async function feed(
  source: AsyncIterable<Uint8Array>,
  into: Writable,
  ended: Promise<unknown>,
): Promise<void> {
  let over = false;
  const iterator = source[Symbol.asyncIterator]();
  const end = ended.then(
    () => {
      over = true;
      // Not waited for: a source that hangs must not hold up the answer.
      iterator.return?.()?.catch(() => {});
    },
    () => {
      over = true;
    },
  );
  into.on("error", () => {
    over = true;
  });
  while (!over) {
    const next = await iterator.next();
    if (next.done) {
      into.end();
      return;
    }
    if (!over && !into.write(next.value))
      await Promise.race([end, new Promise<void>((go) => into.once("drain", go).once("error", () => go()))]);
  }
}
