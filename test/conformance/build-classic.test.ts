/** The stream of `POST /build` beside that of dockerd 20.10's classic builder, through the docker CLI of 20.10. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const docker = "/usr/bin/docker";
const needs = ["/usr/sbin/dockerd", docker, "docker-registry", "skopeo"];
const ready = needs.every((path) => (path.startsWith("/") ? existsSync(path) : Bun.which(path) !== null));
const conform = requires(...needs);

/** Name → Dockerfile; BUSYBOX is the test registry's. */
const files: Record<string, string> = {
  "one step": "FROM BUSYBOX\nRUN echo hello\n",
  "two stages": 'FROM BUSYBOX AS a\nRUN echo one > /1\nFROM BUSYBOX\nCOPY --from=a /1 /1\nCMD ["x"]\n',
  scratch: "FROM scratch\nCOPY f /f\n",
  settings:
    "FROM BUSYBOX\nENV A=1 B=2\nRUN echo $A$B >&2\nLABEL x=y\nEXPOSE 80\nUSER nobody\nWORKDIR /w\nVOLUME /v\n",
  "an argument and a failure": "ARG V=1\nFROM BUSYBOX\nARG W\nRUN echo $W; exit 5\n",
  "a missing file": "FROM BUSYBOX\nCOPY nope /\n",
  "comments and more settings":
    '# comment\nFROM BUSYBOX\n\n# c2\nRUN echo a && \\\n  # inner\n  echo b\nHEALTHCHECK CMD true\nSHELL ["/bin/sh","-c"]\nSTOPSIGNAL 9\nONBUILD RUN true\n',
  "add and maintainer": 'FROM BUSYBOX\nADD f sub /dst/\nENTRYPOINT ["a", "b"]\nMAINTAINER me\n',
  "output without an end": "FROM BUSYBOX\nRUN printf 'no newline'\nRUN printf '\\033[1mbold'; echo\n",
  "a command that is not there": "FROM BUSYBOX\nRUN nosuchcommand\n",
  "words of JSON": 'FROM BUSYBOX\nRUN ["echo", "a b"]\nRUN ["nosuch"]\n',
  "an argument before the base": "ARG BASE=BUSYBOX\nFROM $BASE\nCMD echo done\n",
};

let engine: Engine;
let registry: TestRegistry;
let scratch: string;
let daemon: ChildProcess;
let theirs: string;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-build-classic-"));
  registry = await startTestRegistry();
  engine = await startEngine();
  const root = join(scratch, "dockerd");
  mkdirSync(root);
  theirs = `unix://${root}/docker.sock`;
  const flags = ["--data-root", `${root}/root`, "--exec-root", `${root}/exec`, "-H", theirs];
  const more = [
    "--pidfile",
    `${root}/pid`,
    "--bridge",
    "none",
    "--iptables=false",
    "--storage-driver",
    "vfs",
  ];
  daemon = spawn("/usr/sbin/dockerd", [...flags, ...more], { stdio: "ignore" });
  await until("dockerd", () => answers(`${root}/docker.sock`));
});
afterAll(async () => {
  if (!ready) return;
  daemon?.kill("SIGTERM");
  if (daemon && daemon.exitCode === null) await new Promise((done) => daemon.once("exit", done));
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

interface Told {
  code: number;
  stdout: string;
  stderr: string;
}

async function build(host: string, directory: string, ...flags: string[]): Promise<Told> {
  const argv = ["build", "--network", "none", ...flags, directory];
  const { code, stdout, stderr } = await run([docker, "-H", host, ...argv], {
    env: { DOCKER_BUILDKIT: "0" },
  });
  return { code, stdout: masked(stdout), stderr: masked(stderr) };
}

/** Ids and sizes are masked. There are no intermediate containers and images of ours to tell of. */
const masked = (text: string): string =>
  text
    .replace(/^ ---> Running in [0-9a-f]{12}\n/gm, "")
    .replace(/Removing intermediate container [0-9a-f]{12}\n/g, "")
    .replace(/\b[0-9a-f]{12}\b/g, "ID")
    .replace(/sha256:[0-9a-f]{64}/g, "DIGEST")
    .replace(/[\d.]+kB/g, "SIZE")
    // How often a process writes is chance.
    .replaceAll("\u001b[0m\u001b[91m", "")
    // Settings make nothing that could be cached.
    .replace(/^(Step \S+ : (?!RUN|COPY|ADD|WORKDIR)[^\n]*\n) ---> Using cache\n/gm, "$1");

/** The two sides after what is known to differ (docs/conformance.md): what docker pulls is not shown again by us. */
const pulled = (text: string): string =>
  text.replace(/^(?:1|latest): Pulling from [\s\S]*?Status: [^\n]*\n/gm, "");

describe("the same words", () => {
  for (const [name, text] of Object.entries(files))
    conform(name, async () => {
      const directory = join(scratch, name);
      mkdirSync(join(directory, "sub"), { recursive: true });
      writeFileSync(join(directory, "Dockerfile"), text.replaceAll("BUSYBOX", registry.busybox));
      writeFileSync(join(directory, "f"), "data\n");
      writeFileSync(join(directory, "sub/s"), "s\n");
      const tag = name.replaceAll(" ", "-");
      const flags = ["--build-arg", "W=w", "-t", `${tag}:1`];
      const [their, our] = [
        await build(theirs, directory, ...flags),
        await build(engine.host, directory, ...flags),
      ];
      expect({ ...our, stdout: pulled(our.stdout) }).toEqual({ ...their, stdout: pulled(their.stdout) });
      if (their.code !== 0) return;
      const [again, ours] = [
        await build(theirs, directory, ...flags),
        await build(engine.host, directory, ...flags),
      ];
      expect(pulled(ours.stdout)).toBe(pulled(again.stdout));
      const quiet = await build(engine.host, directory, "-q");
      expect(quiet).toEqual({ code: 0, stdout: "DIGEST\n", stderr: "" });
    });
});

conform("where our words are BuildKit's: errors that end a build before its first step", async () => {
  const cases: Array<[text: string, told: RegExp]> = [
    [
      "FROM scratch\nNOPE x\n",
      /^Error response from daemon: dockerfile parse error on line 2: unknown instruction: NOPE/,
    ],
    ["", /^Error response from daemon: the Dockerfile cannot be empty\n$/],
    ["FROM scratch\nCOPY --from=9 a b\n", /^Error response from daemon: invalid stage index 9\n$/],
    [
      "FROM 127.0.0.1:1/x:1\n",
      /failed to resolve source metadata for 127\.0\.0\.1:1\/x:1: .*connection refused\n$/,
    ],
  ];
  for (const [at, [text, told]] of cases.entries()) {
    const directory = join(scratch, `error-${at}`);
    mkdirSync(directory);
    writeFileSync(join(directory, "Dockerfile"), text);
    const { code, stderr } = await build(engine.host, directory);
    expect(code).toBe(1);
    expect(stderr).toMatch(told);
  }
});

conform("a quiet build that fails shows what it was at; tags are events", async () => {
  const directory = join(scratch, "quiet");
  mkdirSync(directory);
  writeFileSync(join(directory, "Dockerfile"), `FROM ${registry.busybox}\nRUN echo told; exit 4\n`);
  const failed = await build(engine.host, directory, "-q");
  expect(failed.code).toBe(4);
  expect(failed.stdout).toBe("");
  expect(failed.stderr).toContain("Step 2/2 : RUN echo told; exit 4\ntold\n");
  writeFileSync(join(directory, "Dockerfile"), `FROM ${registry.busybox}\nRUN true\n`);
  const since = `${Date.now() / 1000 - 1}`;
  await build(engine.host, directory, "-q", "-t", "events:1", "-t", "events:2");
  const until = `${Date.now() / 1000 + 1}`;
  const format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
  const events = await run([
    docker,
    "-H",
    engine.host,
    "events",
    "--since",
    since,
    "--until",
    until,
    "--format",
    format,
  ]);
  expect(events.stdout.split("\n").filter((line) => line.includes("events:"))).toEqual([
    "image tag events:1",
    "image tag events:2",
  ]);
});
