import { closeSync, constants, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { sleep } from "../base/async.ts";
import { CortenError, invalid, messageOf } from "../base/errors.ts";
import { syscall } from "../sys/libc.ts";
import { AT_FDCWD } from "../sys/stat.ts";
import type { Stdio } from "./stdio.ts";

/** S_IFIFO, for us alone. */
const fifoMode = 0o010600;
/** How long a logger may take to say that it is ready. */
const patience = 10_000;

export const isBinaryLog = (stdio: Stdio): boolean => stdio.stdout.startsWith("binary://");

/** The FIFOs between a process's monitor and its logger; `dir` is the monitor's. */
export const loggerFifos = (dir: string, terminal: boolean): { stdout: string; stderr?: string } => ({
  stdout: `${dir}-stdout`,
  ...(terminal ? {} : { stderr: `${dir}-stderr` }),
});

/** The logger's program and arguments: each query parameter is two of them. */
export function loggerCommand(uri: string): string[] {
  let url: URL;
  try {
    url = new URL(uri);
  } catch (error) {
    throw invalid(`${uri} is no URI of a logging program`, error);
  }
  const path = decodeURIComponent(url.pathname);
  if (url.host !== "" || path === "") throw invalid(`${uri} names no absolute path of a logging program`);
  return [path, ...[...url.searchParams].flatMap(([key, value]) => (value === "" ? [key] : [key, value]))];
}

/**
 * Starts the program of a `binary://` URI as containerd does: CONTAINER_ID and CONTAINER_NAMESPACE in its environment,
 * the outputs to read on descriptors 3 and 4, and 5 to close when it is ready. It reads until the process's monitor has
 * ended, with or without us. Disposed of when the monitor has opened its ends, or when there will be none.
 */
export async function startLogger(
  stdio: Stdio,
  dir: string,
  container: { namespace: string; id: string },
): Promise<Disposable> {
  const command = loggerCommand(stdio.stdout);
  const { stdout, stderr = `${dir}-stderr` } = loggerFifos(dir, false);
  const ready = `${dir}-ready`;
  mkdirSync(dirname(dir), { recursive: true, mode: 0o711 });
  const files: number[] = [];
  const open = (path: string, flags: number): number => {
    const file = openSync(path, flags);
    files.push(file);
    return file;
  };
  /** Until the monitor has its own: without any the logger would see the end. */
  const held: number[] = [];
  const close = (some: readonly number[]) => {
    for (const file of some) closeSync(file);
  };
  try {
    const [out, errors, signal] = [stdout, stderr, ready].map((path) => {
      rmSync(path, { force: true });
      syscall("mknodat", [AT_FDCWD, path, fifoMode, 0], `FIFO ${path}`);
      // A reader that does not wait lets a writer in, which lets a reader in that waits for data, as loggers expect.
      const early = open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const writer = open(path, constants.O_WRONLY);
      return { early, writer, reader: open(path, constants.O_RDONLY) };
    }) as [Ends, Ends, Ends];
    held.push(out.writer, errors.writer);
    const child = Bun.spawn({
      cmd: command,
      env: { CONTAINER_ID: container.id, CONTAINER_NAMESPACE: container.namespace },
      stdio: ["ignore", "ignore", "ignore", out.reader, errors.reader, signal.writer],
      detached: true,
    });
    child.unref();
    closeSync(files.splice(files.indexOf(signal.writer), 1)[0]!);
    await readiness(signal.early, command[0] ?? "");
  } catch (error) {
    close(held);
    throw new CortenError(
      "unknown",
      `failed to start the logging program ${command[0]}: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    close(files.filter((file) => !held.includes(file)));
    rmSync(ready, { force: true });
  }
  return { [Symbol.dispose]: () => close(held) };
}

interface Ends {
  early: number;
  writer: number;
  reader: number;
}

/** Waits until the other end is written to, or closed by all who have it. */
async function readiness(file: number, program: string): Promise<void> {
  const end = performance.now() + patience;
  while (performance.now() < end) {
    try {
      readSync(file, new Uint8Array(1));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    await sleep(5);
  }
  throw new CortenError("deadline_exceeded", `${program} does not get ready`);
}
