import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimPidFile } from "./pid-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-pid-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("the file has our number until it is released", () => {
  const path = join(directory, "run/docker.pid");
  const release = claimPidFile(path);
  expect(readFileSync(path, "utf8")).toBe(String(process.pid));
  release();
  expect(existsSync(path)).toBe(false);
});

test("a claimed file is refused, also to who read it before the number was written", () => {
  const path = join(directory, "docker.pid");
  const release = claimPidFile(path);
  expect(() => claimPidFile(path)).toThrow(`process with PID ${process.pid} is still running`);
  writeFileSync(path, "");
  expect(() => claimPidFile(path)).toThrow("is still running");
  release();
});

test("the file of a process that is gone is taken over, that of one alive is not", async () => {
  const path = join(directory, "docker.pid");
  const gone = Bun.spawn(["true"]);
  await gone.exited;
  writeFileSync(path, String(gone.pid));
  claimPidFile(path)();
  const alive = Bun.spawn(["sleep", "60"]);
  try {
    writeFileSync(path, String(alive.pid));
    expect(() => claimPidFile(path)).toThrow(`process with PID ${alive.pid} is still running`);
  } finally {
    alive.kill(9);
    await alive.exited;
  }
});

test("who releases late does not remove the next one's file", () => {
  const path = join(directory, "docker.pid");
  const first = claimPidFile(path);
  rmSync(path);
  const second = claimPidFile(path);
  first();
  expect(readFileSync(path, "utf8")).toBe(String(process.pid));
  second();
});

test("a lock that a killed daemon's child still has is waited for", async () => {
  const path = join(directory, "docker.pid");
  const gone = Bun.spawn(["true"]);
  await gone.exited;
  writeFileSync(path, String(gone.pid));
  // As a child that is about to execute its program: it lets go by itself.
  const held = Bun.spawn(["flock", path, "sh", "-c", "echo held; sleep 0.2"], { stdout: "pipe" });
  await held.stdout.getReader().read();
  claimPidFile(path)();
  await held.exited;
});
