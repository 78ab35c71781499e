/**
 * kill -9 of the daemon at random moments under containers that write: none dies, no line and no exit status is
 * lost, every verb works after each restart, and nothing is left after the last removal.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startTimeOf } from "../../src/shim/exit.ts";
import { type Engine, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

const kills = Number(process.env["CRASH_KILLS"] ?? 50);
const finite = 10;
const endless = 10;
const lines = 600;

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

const pause = (milliseconds: number) => new Promise((next) => setTimeout(next, milliseconds));

async function must(engine: Engine, ...argv: string[]): Promise<string> {
  const result = await engine.docker(...argv);
  if (result.code !== 0)
    throw new Error(
      `docker ${argv.join(" ")}: ${result.code} ${result.stderr}\n${engine.log().slice(-6000)}`,
    );
  return result.stdout;
}

interface Inspected {
  Id: string;
  State: { Status: string; Running: boolean; Pid: number; ExitCode: number; FinishedAt: string };
}
const inspect = async (engine: Engine, name: string) =>
  (JSON.parse(await must(engine, "inspect", name)) as Inspected[])[0]!;

/** Cgroup directories, in any hierarchy, whose name carries the id. */
function cgroupsOf(id: string): string[] {
  const found: string[] = [];
  const walk = (directory: string, depth: number) => {
    if (depth > 4) return;
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const path = join(directory, entry.name);
      if (entry.name.includes(id)) found.push(path);
      else
        try {
          walk(path, depth + 1);
        } catch {
          // Another test's group that went away.
        }
    }
  };
  walk("/sys/fs/cgroup", 0);
  return found;
}

/** The log must be `<name> 0`, `<name> 1`, … without a gap, a repetition or half a line. */
function expectWhole(log: string, name: string, count?: number): void {
  const got = log.split("\n").filter(Boolean);
  if (count !== undefined) expect(`${name}: ${got.length} lines`).toBe(`${name}: ${count} lines`);
  got.forEach((line, index) => {
    if (line !== `${name} ${index}`)
      throw new Error(`line ${index} of ${name} reads ${JSON.stringify(line)}`);
  });
}

test(`${kills} times kill -9 under ${finite + endless} writing containers loses nothing`, async () => {
  await using engine = await startEngine();
  await must(engine, "pull", registry.busybox);
  const names: string[] = [];
  const before = new Map<string, Inspected>();
  /** Of the process that each container has had; on a slow machine the first may have ended before the last has begun. */
  const started = new Map<string, string>();
  const look = async (name: string) => {
    const inspected = await inspect(engine, name);
    before.set(name, inspected);
    const time = startTimeOf(inspected.State.Pid);
    if (time !== undefined) started.set(inspected.Id, time);
  };
  for (let n = 0; n < finite; n++) {
    names.push(`finite${n}`);
    const script = `i=0; while [ $i -lt ${lines} ]; do echo finite${n} $i; i=$((i+1)); usleep ${20_000 + n * 4000}; done; exit ${n + 10}`;
    await must(engine, "run", "-d", "--name", `finite${n}`, registry.busybox, "sh", "-c", script);
    await look(`finite${n}`);
  }
  for (let n = 0; n < endless; n++) {
    names.push(`endless${n}`);
    const script = `trap 'exit 7' TERM; i=0; while :; do echo endless${n} $i; i=$((i+1)); usleep 15000; done`;
    await must(engine, "run", "-d", "--name", `endless${n}`, registry.busybox, "sh", "-c", script);
    await look(`endless${n}`);
  }

  for (let round = 0; round < kills; round++) {
    await pause(Math.random() * 250);
    await engine.kill();
    await pause(Math.random() * 100);
    await engine.restart();
    const name = `endless${round % endless}`;
    const state = (await inspect(engine, name)).State;
    expect(`${name} ${state.Status} ${state.Pid}`).toBe(`${name} running ${before.get(name)!.State.Pid}`);
    expect(await must(engine, "exec", name, "echo", `round ${round}`)).toBe(`round ${round}\n`);
    if (round % 10 === 0) {
      expect((await must(engine, "ps", "-aq")).split("\n").filter(Boolean)).toHaveLength(names.length);
      expectWhole(await must(engine, "logs", name), name);
    }
  }

  for (let n = 0; n < finite; n++) {
    const name = `finite${n}`;
    expect(`${name} ${(await must(engine, "wait", name)).trim()}`).toBe(`${name} ${n + 10}`);
    const { State } = await inspect(engine, name);
    expect(State.Status).toBe("exited");
    expect(State.ExitCode).toBe(n + 10);
    expectWhole(await must(engine, "logs", name), name, lines);
  }
  await must(engine, "stop", "-t", "60", ...names.filter((name) => name.startsWith("endless")));
  for (let n = 0; n < endless; n++) {
    const name = `endless${n}`;
    expect((await inspect(engine, name)).State.ExitCode).toBe(7);
    expectWhole(await must(engine, "logs", name), name);
  }
  await must(engine, "rm", ...names);
  expect((await must(engine, "ps", "-aq")).trim()).toBe("");
  for (const { Id, State } of before.values()) {
    await until(`cgroups of ${Id} to go`, () => cgroupsOf(Id).length === 0, 60);
    if (started.has(Id)) expect(startTimeOf(State.Pid)).not.toBe(started.get(Id)!);
  }
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(join(engine.root, "run/"));
}, 400_000);

test("a daemon killed in the middle of create, start and remove leaves containers that can all be removed", async () => {
  await using engine = await startEngine();
  await must(engine, "pull", registry.busybox);
  const ids = new Set<string>();
  for (let round = 0; round < 12; round++) {
    const work = Array.from({ length: 4 }, async (_, n) => {
      const name = `r${round}c${n}`;
      const started = await engine.docker("run", "-d", "--name", name, registry.busybox, "sleep", "300");
      if (started.code === 0) ids.add(started.stdout.trim());
      if (n % 2 === 0) await engine.docker("rm", "-f", name);
    });
    await pause(20 + Math.random() * 250);
    await engine.kill();
    await Promise.all(work);
    await engine.restart();
    const all = (await must(engine, "ps", "-aq", "--no-trunc")).split("\n").filter(Boolean);
    for (const id of all) ids.add(id);
    if (all.length > 0) await must(engine, "rm", "-f", ...all);
    expect((await must(engine, "ps", "-aq")).trim()).toBe("");
  }
  for (const id of ids) await until(`cgroups of ${id} to go`, () => cgroupsOf(id).length === 0, 60);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(join(engine.root, "run/"));
  // The engine still does its main job.
  expect(await must(engine, "run", "--rm", registry.busybox, "echo", "fine")).toBe("fine\n");
}, 300_000);
