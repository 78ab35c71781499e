/** Builds by clients that no one here wrote: both docker CLIs, docker-compose, and the two libraries. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Engine, type Output, run, startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const clients = { "docker 28": "/usr/local/bin/docker", "docker 20.10": "/usr/bin/docker" };
const scripts = join(import.meta.dir, "../clients");

let engine: Engine;
let registry: TestRegistry;
let scratch: string;
const ready = existsSync(clients["docker 20.10"]) && Bun.which("docker-registry") !== null;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-build-"));
  registry = await startTestRegistry();
  engine = await startEngine();
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

/** A directory of its own with these files. */
function context(name: string, files: Record<string, string>): string {
  const directory = join(scratch, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

for (const [name, binary] of Object.entries(clients)) {
  const conform = requires(binary, "docker-registry");
  const tag = name.replace(/\W/g, "");
  // Without buildx docker 28 falls back to the classic API, as 20.10 does by itself.
  const env = { DOCKER_BUILDKIT: "0" };
  const docker = (...argv: string[]): Promise<Output> => run([binary, "-H", engine.host, ...argv], { env });

  conform(`${name}: build, tag and run`, async () => {
    const directory = context(`${tag}-main`, {
      Dockerfile: `FROM ${registry.busybox}\nARG WHO=nobody\nCOPY sub /sub\nRUN echo hello $WHO > /greeting && echo told\nLABEL a=b\nCMD cat /greeting\n`,
      "sub/file": "file",
    });
    const built = await docker("build", "--build-arg", "WHO=you", "-t", `${tag}/main:1`, directory);
    expect(built.code).toBe(0);
    expect(built.stdout).toMatch(/Step 1\/6 : FROM .*busybox:1\n/);
    expect(built.stdout).toContain("\ntold\n");
    expect(built.stdout).toMatch(
      new RegExp(`Successfully built [0-9a-f]{12}\nSuccessfully tagged ${tag}/main:1\n$`),
    );
    expect((await docker("run", "--rm", `${tag}/main:1`)).stdout).toBe("hello you\n");
    const again = await docker("build", "--build-arg", "WHO=you", "-t", `${tag}/main:1`, directory);
    expect(again.stdout.match(/Using cache/g)).toHaveLength(2);
    const quiet = await docker("build", "-q", "--build-arg", "WHO=you", directory);
    expect(quiet.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  });

  conform(`${name}: a failing step gives its exit code`, async () => {
    const directory = context(`${tag}-fail`, { Dockerfile: `FROM ${registry.busybox}\nRUN exit 9\n` });
    const failed = await docker("build", directory);
    expect(failed.code).toBe(9);
    expect(failed.stderr).toContain("The command '/bin/sh -c exit 9' returned a non-zero code: 9");
  });

  conform(`${name}: a Dockerfile from stdin, and one elsewhere`, async () => {
    const text = `FROM ${registry.busybox}\nRUN echo x > /x\n`;
    const piped = await run([binary, "-H", engine.host, "build", "-"], { input: text, env });
    expect(piped.stderr.replace(/DEPRECATED[\s\S]*?\n\n/, "")).toBe("");
    expect(piped.code).toBe(0);
    const directory = context(`${tag}-else`, {
      "deep/Other": `FROM ${registry.busybox}\nCOPY f /f\n`,
      f: "f",
    });
    expect((await docker("build", "-f", join(directory, "deep/Other"), directory)).code).toBe(0);
  });

  conform(`${name}: builder prune and system df know the cache`, async () => {
    const directory = context(`${tag}-prune`, {
      Dockerfile: `FROM ${registry.busybox}\nRUN echo ${tag} > /p\n`,
    });
    expect((await docker("build", directory)).code).toBe(0);
    const usage = await docker("system", "df", "-v");
    expect(usage.stdout).toMatch(/Build cache usage: /);
    const pruned = await docker("builder", "prune", "-f", "-a");
    expect(pruned.code).toBe(0);
    expect(pruned.stdout).toMatch(/Total(?: reclaimed space)?:/);
  });
}

requires("docker-compose", "docker-registry")("docker-compose builds what its services say", async () => {
  const directory = context("compose", {
    "docker-compose.yml": `version: "3.4"\nservices:\n  one:\n    build:\n      context: app\n      dockerfile: My.Dockerfile\n      args: {WHO: compose}\n      target: final\n    image: compose/one:1\n`,
    "app/My.Dockerfile": `FROM ${registry.busybox} AS final\nARG WHO\nRUN echo $WHO > /who\nCMD cat /who\nFROM final\nRUN false\n`,
  });
  const env = { DOCKER_HOST: engine.host, COMPOSE_DOCKER_CLI_BUILD: "0", COMPOSE_PROJECT_NAME: "buildtest" };
  const built = await run(["docker-compose", "build"], { cwd: directory, env, timeout: 230_000 });
  expect(`${built.code} ${built.stderr}`).toMatch(/^0 /);
  const ran = await run([clients["docker 20.10"], "-H", engine.host, "run", "--rm", "compose/one:1"]);
  expect(ran.stdout).toBe("compose\n");
});

requires("/usr/lib/python3/dist-packages/docker", "docker-registry")(
  "Docker's Python SDK: 11 checks of builds",
  async () => {
    const result = await run(
      ["/usr/bin/python3", join(scripts, "docker_py_build.py"), engine.socket, registry.busybox],
      {
        timeout: 230_000,
      },
    );
    expect(result.stderr).toBe("");
    expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(11);
  },
);

requires(join(scripts, "node_modules/dockerode"), "docker-registry")(
  "dockerode: 4 checks of builds",
  async () => {
    const directory = context("dockerode", { none: "" });
    const result = await run(
      ["node", join(scripts, "dockerode_build.mjs"), engine.socket, registry.busybox, directory],
      {
        timeout: 230_000,
      },
    );
    expect(result.stderr).toBe("");
    expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(4);
    expect(readFileSync(join(directory, "file"), "utf8")).toBe("content\n");
  },
);
