/** Builds by docker 20.10's own BuildKit client: sessions, synchronised directories, secrets, agents, outputs. */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Engine, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { copyProgram } from "../helpers/program-tree.ts";
import { requires } from "../helpers/requires.ts";

const binary = "/usr/bin/docker";
const ready = existsSync(binary) && Bun.which("docker-registry") !== null;
const conform = requires(binary, "docker-registry");

let engine: Engine;
let registry: TestRegistry;
let scratch: string;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-bk-"));
  registry = await startTestRegistry();
  engine = await startEngine();
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const env = { DOCKER_BUILDKIT: "1", BUILDKIT_PROGRESS: "plain" };
const docker = (
  argv: string[],
  options: { input?: string; cwd?: string; env?: Record<string, string> } = {},
) => run([binary, "-H", engine.host, ...argv], { ...options, env: { ...env, ...options.env } });
const build = (...argv: string[]): Promise<Output> => docker(["build", ...argv]);

function succeeded(output: Output): Output {
  if (output.code !== 0) throw new Error(`code ${output.code}\n${output.stdout}\n${output.stderr}`);
  return output;
}

/** A directory of its own with these files. */
function context(name: string, files: Record<string, string>): string {
  const directory = join(scratch, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

conform("the client is told to use BuildKit, without being asked to", async () => {
  const directory = context("default", { Dockerfile: `FROM ${registry.busybox}\n` });
  const { stderr } = succeeded(await docker(["build", directory], { env: { DOCKER_BUILDKIT: "" } }));
  expect(stderr).toContain("[internal] load build definition from Dockerfile");
});

conform("build, tag, run, and nothing to do the second time", async () => {
  const directory = context("main", {
    Dockerfile: `FROM ${registry.busybox}\nARG WHO=nobody\nCOPY . /sub\nRUN echo hello $WHO > /greeting && echo told\nCMD cat /greeting\n`,
    ".dockerignore": "ignored\n",
    ignored: "never seen",
    "dir/file": "file",
    "ünï code": "ü",
  });
  chmodSync(join(directory, "dir/file"), 0o4755);
  symlinkSync("dir/file", join(directory, "link"));
  const first = succeeded(await build("--build-arg", "WHO=you", "-t", "bk/main:1", directory));
  expect(first.stderr).toMatch(/^#\d+ [\d.]+ told$/m);
  expect(first.stderr).toContain("naming to docker.io/bk/main:1");
  expect(succeeded(await docker(["run", "--rm", "bk/main:1"])).stdout).toBe("hello you\n");
  const listed = succeeded(
    await docker([
      "run",
      "--rm",
      "bk/main:1",
      "sh",
      "-c",
      "cd /sub; find . | sort; stat -c '%a %u:%g' dir/file; readlink link",
    ]),
  );
  expect(listed.stdout.split("\n").slice(0, -1)).toEqual([
    ".",
    "./.dockerignore",
    "./Dockerfile",
    "./dir",
    "./dir/file",
    "./link",
    "./ünï code",
    "4755 0:0",
    "dir/file",
  ]);
  const second = succeeded(await build("--build-arg", "WHO=you", "-t", "bk/main:1", directory));
  expect(second.stderr.match(/CACHED/g)?.length).toBeGreaterThanOrEqual(2);
  const id = (output: Output) => /writing image (sha256:[0-9a-f]{64})/.exec(output.stderr)?.[1];
  expect(id(second)).toBe(id(first)!);
  const quiet = succeeded(await build("-q", "--build-arg", "WHO=you", directory));
  expect(quiet.stdout).toBe(`${id(first)}\n`);
});

conform("only what changed in a context is sent again, and what is gone is gone", async () => {
  const directory = context("incremental", {
    Dockerfile: `FROM ${registry.busybox}\nCOPY data /data\nRUN cat /data/small; ls /data\n`,
    "data/small": "one\n",
    "data/large": "x".repeat(3_000_000),
    "data/gone": "",
  });
  const sent = (output: Output): number => {
    const line = [...output.stderr.matchAll(/transferring context:\s+([\d.]+)(k|M)?B/g)].at(-1);
    return Number(line?.[1] ?? 0) * ({ k: 1e3, M: 1e6 }[line?.[2] ?? ""] ?? 1);
  };
  const first = succeeded(await build(directory));
  expect(first.stderr).toMatch(/^#\d+ [\d.]+ gone$/m);
  expect(sent(first)).toBeGreaterThan(2_900_000);
  writeFileSync(join(directory, "data/small"), "two\n");
  rmSync(join(directory, "data/gone"));
  const second = succeeded(await build(directory));
  expect(second.stderr).toMatch(/^#\d+ [\d.]+ two$/m);
  expect(second.stderr).not.toMatch(/^#\d+ [\d.]+ gone$/m);
  expect(sent(second)).toBeLessThan(100_000);
});

conform("a failing step shows its output and its exit code", async () => {
  const directory = context("fail", {
    Dockerfile: `FROM ${registry.busybox}\nRUN echo because >&2; exit 9\n`,
  });
  const failed = await build(directory);
  expect(failed.code).toBe(1);
  expect(failed.stderr).toMatch(/^#\d+ [\d.]+ because$/m);
  expect(failed.stderr).toContain(
    'failed to solve: process "/bin/sh -c echo because >&2; exit 9" did not complete successfully: exit code: 9',
  );
  writeFileSync(join(directory, "Dockerfile"), `FROM ${registry.busybox}\nRUNN x\n`);
  const unreadable = await build(directory);
  expect(unreadable.code).toBe(1);
  expect(unreadable.stderr).toContain("dockerfile parse error on line 2: unknown instruction: RUNN");
  const missing = await build("-f", join(directory, "nothing"), directory);
  expect(missing.code).toBe(1);
});

conform("secrets come from the client, and only those that it has", async () => {
  const directory = context("secret", {
    Dockerfile: `# syntax=docker/dockerfile:1\nFROM ${registry.busybox}\nRUN --mount=type=secret,id=mine,required=true cat /run/secrets/mine\n`,
  });
  const file = join(scratch, "the-secret");
  writeFileSync(file, "sesame\n");
  const given = succeeded(await build("--secret", `id=mine,src=${file}`, directory));
  expect(given.stderr).toMatch(/^#\d+ [\d.]+ sesame$/m);
  const missing = await build("--no-cache", "--secret", `id=other,src=${file}`, directory);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain("mine");
});

requires(
  binary,
  "docker-registry",
  "ssh-agent",
  "ssh-add",
  "ssh-keygen",
)("a step talks to the client's ssh agent", async () => {
  const directory = context("ssh", {
    Dockerfile: `# syntax=docker/dockerfile:1\nFROM ${registry.busybox}\nCOPY tools /\nRUN --mount=type=ssh,required=true ssh-add -l\n`,
  });
  await copyProgram("/usr/bin/ssh-add", join(directory, "tools"));
  const key = join(scratch, "key");
  succeeded(
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a key of this test", "-f", key]),
  );
  const socket = join(scratch, "agent.sock");
  const agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore", stderr: "ignore" });
  try {
    await until("the agent", () => existsSync(socket));
    const identity = { SSH_AUTH_SOCK: socket };
    succeeded(await run(["ssh-add", "-q", key], { env: identity }));
    const given = succeeded(await docker(["build", "--ssh", "default", directory], { env: identity }));
    expect(given.stderr).toContain("a key of this test (ED25519)");
    const without = await docker(["build", "--no-cache", directory], { env: identity });
    expect(without.code).toBe(1);
  } finally {
    agent.kill();
    await agent.exited;
  }
});

conform("the result comes back as a directory and as a tar", async () => {
  const directory = context("output", {
    Dockerfile: "FROM scratch\nCOPY data /data\n",
    "data/file": "file",
    "data/deep/empty": "",
    "data/large": "y".repeat(1_500_000),
  });
  chmodSync(join(directory, "data/file"), 0o751);
  symlinkSync("file", join(directory, "data/link"));
  const local = join(scratch, "local");
  mkdirSync(local);
  writeFileSync(join(local, "stays"), "");
  succeeded(await build("-o", local, directory));
  expect(readdirSync(local).sort()).toEqual(["data", "stays"]);
  expect(readdirSync(join(local, "data")).sort()).toEqual(["deep", "file", "large", "link"]);
  expect(lstatSync(join(local, "data/file")).mode & 0o7777).toBe(0o751);
  expect(readlinkSync(join(local, "data/link"))).toBe("file");
  expect(readFileSync(join(local, "data/large"), "utf8")).toBe("y".repeat(1_500_000));
  const tar = join(scratch, "result.tar");
  succeeded(await build("-o", `type=tar,dest=${tar}`, directory));
  const listed = await run(["tar", "tf", tar]);
  expect(listed.stdout.split("\n")).toContain("data/deep/empty");
});

conform("Dockerfiles and contexts come from stdin", async () => {
  const text = `FROM ${registry.busybox}\nRUN echo from stdin\n`;
  const alone = succeeded(await docker(["build", "-"], { input: text }));
  expect(alone.stderr).toMatch(/^#\d+ [\d.]+ from stdin$/m);
  const directory = context("stdin", { f: "file here\n" });
  const beside = succeeded(
    await docker(["build", "-f", "-", directory], {
      input: `FROM ${registry.busybox}\nCOPY f /f\nRUN cat /f\n`,
    }),
  );
  expect(beside.stderr).toMatch(/^#\d+ [\d.]+ file here$/m);
  writeFileSync(
    join(directory, "Dockerfile"),
    `FROM ${registry.busybox}\nCOPY f /g\nRUN cat /g; echo of the tar\n`,
  );
  const piped = succeeded(
    await run(["sh", "-c", `tar c -C ${directory} . | ${binary} -H ${engine.host} build -`], { env }),
  );
  expect(piped.stderr).toMatch(/^#\d+ [\d.]+ of the tar$/m);
});

conform("an interrupted client's build ends, with its steps", async () => {
  const marker = `${process.pid}${Date.now() % 1e6}`;
  const directory = context("interrupt", {
    Dockerfile: `FROM ${registry.busybox}\nRUN echo begun; sleep ${marker}\n`,
  });
  const client = Bun.spawn([binary, "-H", engine.host, "build", directory], {
    env: { ...process.env, ...env },
    stdout: "ignore",
    stderr: "ignore",
  });
  const sleeping = async () =>
    (await run(["ps", "-eo", "args"])).stdout.split("\n").some((line) => line === `sleep ${marker}`);
  await until("the step", sleeping);
  client.kill("SIGINT");
  expect(await client.exited).not.toBe(0);
  await until("the end of the step", async () => !(await sleeping()));
  // The same directory can be built at once.
  writeFileSync(join(directory, "Dockerfile"), `FROM ${registry.busybox}\nRUN true\n`);
  succeeded(await build(directory));
});

conform("builds of the same directory at a time do not disturb each other", async () => {
  const directory = context("parallel", {
    Dockerfile: `FROM ${registry.busybox}\nARG N\nCOPY data /data\nRUN echo number $N $(cat /data/file)\n`,
    "data/file": "content",
    "data/large": "z".repeat(2_000_000),
  });
  const all = await Promise.all(
    [1, 2, 3, 4, 5, 6].map((number) => build("--build-arg", `N=${number}`, directory)),
  );
  for (const [index, output] of all.entries())
    expect(succeeded(output).stderr).toContain(`number ${index + 1} content`);
});
