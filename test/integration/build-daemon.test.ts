/** Builds of the real docker CLI on our daemon: many at once, interrupted ones, and a daemon that is killed under them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const needed = ["docker", "docker-registry", "skopeo", "/bin/busybox"];
const test = requires(...needed);
const ready = needed.every((program) => program.startsWith("/") || Bun.which(program));
let registry: TestRegistry;
let engine: Engine;
let contexts: string;

beforeAll(async () => {
  if (!ready) return;
  contexts = mkdtempSync(join(tmpdir(), "corten-contexts-"));
  registry = await startTestRegistry();
  engine = await startEngine();
});
afterAll(async () => {
  if (!ready) return;
  await engine[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(contexts, { recursive: true, force: true });
});

const env = { DOCKER_BUILDKIT: "0" };
const docker = (...argv: string[]) => run(["docker", "-H", engine.host, ...argv], { env });

function context(name: string, dockerfile: string): string {
  const directory = join(contexts, name);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "Dockerfile"), dockerfile);
  writeFileSync(join(directory, "file"), "file");
  return directory;
}

/** A build that waits in its only step. */
async function startHanging(name: string, seconds: string): Promise<Bun.Subprocess> {
  const directory = context(name, `FROM ${registry.busybox}\nRUN echo begun; sleep ${seconds}\n`);
  const child = Bun.spawn(["docker", "-H", engine.host, "build", "-t", name, directory], {
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "ignore",
  });
  let said = "";
  for await (const chunk of child.stdout) {
    said += new TextDecoder().decode(chunk);
    if (!/^begun$/m.test(said)) continue;
    // The shell has still to start it: its word may well be here before.
    await until(`sleep ${seconds}`, () => runs(seconds));
    return child;
  }
  throw new Error(`the build ended early: ${said}`);
}

const runs = (argument: string) =>
  readdirSync("/proc").some((pid) => {
    try {
      return (
        /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`sleep\0${argument}\0`)
      );
    } catch {
      return false;
    }
  });
const stepDirectories = () => readdirSync(join(engine.root, "run/build"));

/** Waits until nothing of the step is there; what is left otherwise says why. */
async function stepEnds(seconds: string): Promise<void> {
  let left = "";
  await until("the end of the step", () => {
    left = [...(runs(seconds) ? [`sleep ${seconds}`] : []), ...stepDirectories()].join(" ");
    return left === "";
  }).catch((error) => {
    throw new Error(`left: ${left}\n${engine.log()}`, { cause: error });
  });
}

describe("docker build", () => {
  test("twenty at once, which pull the same image and have steps in common, run each step once", async () => {
    const text = (at: number) =>
      `FROM ${registry.busybox}\nCOPY file file\nRUN cat /proc/sys/kernel/random/uuid > /once\nRUN echo ${at % 5} > /own\n`;
    const builds = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        docker("build", "-t", `many${at}`, context(`many${at}`, text(at))),
      ),
    );
    expect(builds.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
    const shown = await Promise.all(
      [0, 1, 7, 13, 19].map((at) =>
        docker("run", "--rm", "--network", "none", `many${at}`, "cat", "/once", "/own"),
      ),
    );
    const lines = shown.map(({ stdout }) => stdout.trim().split("\n"));
    expect(new Set(lines.map(([once]) => once)).size).toBe(1);
    expect(lines.map(([, own]) => own)).toEqual(["0", "1", "2", "3", "4"]);
  });

  test("interrupted leaves no process, no directory and no snapshot of the step", async () => {
    const seconds = `3${process.pid}.5`;
    const child = await startHanging("interrupted", seconds);
    child.kill("SIGINT");
    await child.exited;
    await stepEnds(seconds);
  });

  test("under a daemon that is killed leaves nothing after the next start, and goes on from the cache", async () => {
    const seconds = `4${process.pid}.5`;
    const child = await startHanging("killed", seconds);
    await engine.restart();
    await child.exited;
    await stepEnds(seconds);
    const again = await docker("build", "-t", "many0", join(contexts, "many0"));
    expect(again.code).toBe(0);
    expect(again.stdout.match(/Using cache/g)).toHaveLength(3);
    expect((await docker("builder", "prune", "-af")).stdout).toContain("Total reclaimed space");
    expect((await docker("system", "df", "--format", "{{.Type}} {{.Size}}")).stdout).toContain(
      "Build Cache 0B",
    );
  });
});
