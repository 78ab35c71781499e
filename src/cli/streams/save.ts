/** Writes a tar stream to a file, complete or not at all, or to stdout when that is no terminal. */
import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";

export async function saveTo(
  cli: Cli,
  path: string,
  open: () => Promise<AsyncIterable<Uint8Array>>,
): Promise<void> {
  if (path === "") {
    if (cli.out.isTerminal)
      throw new StatusError(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    for await (const chunk of await open()) await cli.out.pour(chunk);
    return;
  }
  const body = await open();
  const temporary = `${path}.tmp-${process.pid}`;
  const fd = openSync(temporary, "wx", 0o600);
  try {
    for await (const chunk of body) for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
