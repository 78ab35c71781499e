import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { awaitReaders } from "./readers.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-readers-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function fifo(name: string): string {
  const path = join(directory, name);
  spawnSync("mkfifo", [path]);
  return path;
}
const reader = (path: string) => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);

test("a process waits for the readers of both outputs, who see no end until it has its own ends", async () => {
  const [stdout, stderr] = [fifo("out"), fifo("err")];
  let there = false;
  const waiting = awaitReaders({ stdout, stderr }).then((held) => {
    there = true;
    return held;
  });
  const first = reader(stdout);
  // Longer than it waits between two looks.
  await Bun.sleep(60);
  expect(there).toBe(false);
  const second = reader(stderr);
  const held = await waiting;
  const byte = new Uint8Array(1);
  // A FIFO without a writer would be at its end.
  for (const file of [first, second]) expect(() => readSync(file, byte)).toThrow("EAGAIN");
  held[Symbol.dispose]();
  for (const file of [first, second]) {
    expect(readSync(file, byte)).toBe(0);
    closeSync(file);
  }
});

test("a client that does not come is not waited for for ever, and what is no FIFO is not waited for", async () => {
  const file = join(directory, "file");
  writeFileSync(file, "");
  for (const fifos of [{ stdout: fifo("out") }, { stdout: file, stderr: join(directory, "none") }, {}])
    (await awaitReaders(fifos, 30))[Symbol.dispose]();
});
