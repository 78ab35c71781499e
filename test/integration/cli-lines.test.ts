import { afterAll, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten } from "../helpers/engine.ts";

const dir = mkdtempSync(join(tmpdir(), "corten-output-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A pipe with O_NONBLOCK, filled to the brim; gives the two ends and how much is in it. */
function fullPipe(): { reader: number; writer: number; filled: number } {
  const path = join(dir, "pipe");
  spawnSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  let filled = 0;
  try {
    for (;;) filled += writeSync(writer, Buffer.alloc(4096, "x"));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("EAGAIN");
  }
  return { reader, writer, filled };
}

test("a line waits for a pipe that is full and does not block", async () => {
  const { reader, writer, filled } = fullPipe();
  const child = spawn(corten[0]!, [...corten.slice(1), "--version"], { stdio: ["ignore", writer, "ignore"] });
  const code = new Promise((resolve) => child.on("close", resolve));
  closeSync(writer);
  let text = "";
  const chunk = Buffer.alloc(65_536);
  for (;;) {
    let size: number;
    try {
      size = readSync(reader, chunk);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("EAGAIN");
      await Bun.sleep(10);
      continue;
    }
    if (size === 0) break;
    text += chunk.toString("latin1", 0, size);
  }
  closeSync(reader);
  expect(await code).toBe(0);
  expect(text.slice(0, filled)).toBe("x".repeat(filled));
  expect(text.slice(filled)).toMatch(/^Corten version .*\n$/);
});

test("a line that nobody reads any more ends the command as SIGPIPE would", () => {
  const writer = openClosedPipe();
  const { status } = spawnSync(corten[0]!, [...corten.slice(1), "--version"], {
    stdio: ["ignore", writer, "ignore"],
  });
  closeSync(writer);
  expect(status).toBe(141);
});

/** The writing end of a pipe without a reader. */
function openClosedPipe(): number {
  const path = join(dir, "closed");
  spawnSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  closeSync(reader);
  return writer;
}

test("a disk that is full is named", () => {
  const full = openSync("/dev/full", "w");
  const { status, stderr } = spawnSync(corten[0]!, [...corten.slice(1), "--version"], {
    stdio: ["ignore", full, "pipe"],
    encoding: "utf8",
  });
  closeSync(full);
  expect(status).not.toBe(0);
  expect(stderr).toContain("ENOSPC");
});
