/** Completion in real shells, and what it is made of: which words may come next. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { corten, type Engine, run, startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";
import { onTerminal } from "../helpers/terminal.ts";

const conform = requires("docker-registry");
const ready = Bun.which("docker-registry") !== null;

let engine: Engine;
let registry: TestRegistry;
let folder: string;

beforeAll(async () => {
  if (!ready) return;
  registry = await startTestRegistry();
  engine = await startEngine();
  const must = async (...argv: string[]) => expect((await engine.corten(...argv)).code).toBe(0);
  await must("pull", "-q", registry.busybox);
  await must("tag", registry.busybox, "busybox:1");
  await must("create", "--name", "boxed", "busybox:1");
  await must("network", "create", "netted");
  folder = mkdtempSync(join(tmpdir(), "corten-completion-"));
  for (const name of ["busyfile", "archive.tar", "boxfile"]) writeFileSync(join(folder, name), "");
  mkdirSync(join(folder, "home"));
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

conform("the next words are those of the daemon that the line names, and of their place", async () => {
  const H = ["-H", engine.host];
  const files = 2;
  const cases: Array<[words: string[], code: number, names: string[]]> = [
    [[...H, "rmi", "busy"], 0, ["busybox:1"]],
    [["-H", "unix:///nowhere", ...H, "rmi", "busy"], 1, []],
    [[`--host=${engine.host}`, "image", "rm", "busy"], 0, ["busybox:1"]],
    [[`-H${engine.host}`, "rm", "-f", "bo"], 0, ["boxed"]],
    [[...H, "rm", "boxed", ""], 0, []],
    [[...H, "run", "-e", "busy"], 0, []],
    [[...H, "run", "-it", "-e", "A=b", "busy"], 0, ["busybox:1"]],
    [[...H, "run", "--network", "net"], 0, ["netted"]],
    [[...H, "run", "busybox:1", "b"], 0, []],
    [[...H, "run", "busybox:1", "--"], 0, []],
    [[...H, "network", "connect", "net"], 0, ["netted"]],
    [[...H, "network", "connect", "netted", "bo"], 0, ["boxed"]],
    [[...H, "cp", "bo"], files, ["boxed:"]],
    [[...H, "run", "--env-file", ""], files, []],
    [[...H, "load", "-i", ""], files, []],
    [["--tlsc"], 0, ["--tlscacert", "--tlscert"]],
    [["-D", "--log-level", "debug", "container", "exp"], 0, ["export"]],
    [["exec", "--det"], 0, ["--detach", "--detach-keys"]],
    [["nosuch", ""], 0, []],
  ];
  for (const [words, code, names] of cases) {
    const { code: ended, stdout } = await run([...corten, "completion", "list", ...words]);
    expect([words, ended, stdout.split("\n").filter(Boolean)]).toEqual([words, code, names]);
  }
});

const shells: Record<string, { argv: string[]; load: (program: string) => string }> = {
  bash: { argv: ["bash", "--norc", "-i"], load: (program) => `source <(${program} completion bash)` },
  zsh: { argv: ["zsh", "-f", "-i"], load: (program) => `source <(${program} completion zsh)` },
};

for (const [shell, { argv, load }] of Object.entries(shells))
  requires("docker-registry", shell)(
    `${shell} completes names of objects, and files only where they may stand`,
    async () => {
      const program = corten.at(-1)!;
      // The sources have no name to complete for.
      if (program.endsWith(".ts")) return;
      const name = basename(program);
      await using terminal = onTerminal(["sh", "-c", `cd ${folder} && exec ${argv.join(" ")}`], {
        columns: 200,
        env: {
          PATH: `${dirname(program)}:${process.env["PATH"]}`,
          HOME: join(folder, "home"),
          PS1: "> ",
          TERM: "dumb",
        },
      });
      terminal.type(`${load(name)}; echo lo''aded\r`);
      await terminal.waitFor("loaded");
      for (const [typed, completed] of [
        [`${name} -H ${engine.host} rmi busy`, "box:1"],
        [`${name} -H ${engine.host} rmi busybox:`, "1"],
        [`${name} -H ${engine.host} run --network ne`, "tted"],
        [`${name} -H ${engine.host} load -i arch`, "ive.tar"],
        [`${name} containe`, "r"],
      ] as const) {
        terminal.type(typed);
        await terminal.waitFor(typed.slice(-4));
        terminal.type("\t");
        await terminal.waitFor(completed);
        terminal.type("\x15");
      }
    },
    240_000,
  );

requires("docker-registry", "fish")(
  "fish completes names of objects, and files only where they may stand",
  async () => {
    const program = corten.at(-1)!;
    if (program.endsWith(".ts")) return;
    const name = basename(program);
    const complete = async (line: string) => {
      const script = `cd ${folder}; ${name} completion fish | source; complete -C '${line}'`;
      const PATH = `${dirname(program)}:${process.env["PATH"]}`;
      const { stdout, stderr } = await run(["fish", "--no-config", "-c", script], {
        env: { PATH, HOME: join(folder, "home") },
      });
      expect(stderr).toBe("");
      return stdout
        .split("\n")
        .filter(Boolean)
        .map((one) => one.split("\t")[0]);
    };
    expect(await complete(`${name} -H ${engine.host} rmi busy`)).toEqual(["busybox:1"]);
    expect(await complete(`${name} -H ${engine.host} run --network ne`)).toEqual(["netted"]);
    expect(await complete(`${name} -H ${engine.host} load -i arch`)).toEqual(["archive.tar"]);
    expect((await complete(`${name} -H ${engine.host} cp box`)).sort()).toEqual(["boxed:", "boxfile"]);
    expect(await complete(`${name} containe`)).toEqual(["container"]);
  },
);
