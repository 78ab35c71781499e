/** The builders of the corpus: ours, Debian's docker 20.10 (BuildKit's and the classic one), and buildah. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { answers, type Engine, type Output, run, startEngine, until } from "../engine.ts";
import type { Case, Outcome } from "./case.ts";
import { type Base, readBase, readImage } from "./tree.ts";
import { type World, writeFiles } from "./world.ts";

export interface Builder extends AsyncDisposable {
  build(item: Case): Promise<Outcome>;
}

interface Way {
  /** Runs one build; `tag` is the image's name. */
  build(directory: string, tag: string, flags: string[], env: Record<string, string>): Promise<Output>;
  /** The image as an archive. */
  save(tag: string): Promise<Uint8Array>;
}

/** Steps that ran, of a build's plain progress: names without stage and number. */
function stepsThatRan(progress: string): string[] {
  const names = new Map<string, string>();
  const cached = new Set<string>();
  for (const line of progress.split("\n")) {
    const step = /^#(\d+) \[[^\]]*\d+\/\d+\] (.*)$/.exec(line);
    if (step && !step[2]!.startsWith("FROM ")) names.set(step[1]!, step[2]!);
    const hit = /^#(\d+) CACHED$/.exec(line);
    if (hit) cached.add(hit[1]!);
  }
  return [...names].filter(([number]) => !cached.has(number)).map(([, name]) => name);
}

let number = 0;

/** Builds a case with its images before it and its changes after it. */
async function outcomeOf(item: Case, way: Way, world: World, base: Base): Promise<Outcome> {
  const id = number++;
  const home = join(world.root, "builds", String(id));
  const directory = join(home, "context");
  const words = (text: string) => world.words(text).replaceAll("$$DIR", home);
  const dockerfile = (text: string) => ({ Dockerfile: { data: words(text) } });
  const flagsOf = (flags: readonly string[] = []) => flags.map(words);
  try {
    for (const [name, text] of Object.entries(item.images ?? {})) {
      writeFiles(join(home, name), { ...item.files, ...dockerfile(text) });
      const built = await way.build(join(home, name), name, [], {});
      if (built.code !== 0) throw new Error(`image ${name}: ${built.stderr}`);
    }
    for (const [name, files] of Object.entries(item.beside ?? {})) writeFiles(join(home, name), files);
    writeFiles(directory, { ...dockerfile(item.dockerfile), ...item.files });
    const tag = `case${id}`;
    const env = Object.fromEntries(Object.entries(item.env ?? {}).map(([key, value]) => [key, words(value)]));
    const context = item.remote ? words(item.remote) : directory;
    const built = await way.build(context, tag, flagsOf(item.flags), env);
    if (built.code !== 0) return { failure: `${built.stdout}${built.stderr}` };
    const outcome: Outcome = readImage(await way.save(tag), base);
    if (item.again) Object.assign(outcome, { ran: [], later: [] });
    for (const { name, files, remove, dockerfile: text, flags } of item.again ?? []) {
      for (const path of remove ?? []) rmSync(join(directory, path), { recursive: true });
      writeFiles(directory, { ...(text === undefined ? {} : dockerfile(text)), ...files });
      const next = await way.build(directory, tag, flagsOf(flags ?? item.flags), env);
      if (next.code !== 0) throw new Error(`${name}: ${next.stderr}`);
      outcome.ran!.push(stepsThatRan(next.stdout + next.stderr).sort());
      outcome.later!.push(readImage(await way.save(tag), base).tree);
    }
    return outcome;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

const saveByApi = (socket: string) => async (tag: string) => {
  const answer = await fetch(`http://docker/images/${tag}/get`, { unix: socket });
  if (!answer.ok) throw new Error(`save of ${tag}: ${answer.status} ${await answer.text()}`);
  return new Uint8Array(await answer.arrayBuffer());
};

async function must(work: Promise<Output>): Promise<void> {
  const { code, stdout, stderr } = await work;
  if (code !== 0) throw new Error(`${stdout}${stderr}`);
}

export interface Ours extends Builder {
  readonly engine: Engine;
}

export async function startOurs(world: World): Promise<Ours> {
  const engine = await startEngine();
  await must(engine.corten("pull", world.registry.busybox));
  await must(engine.corten("tag", world.registry.busybox, "busybox"));
  const save = saveByApi(engine.socket);
  const base = readBase(await save("busybox"));
  const { corten } = await import("../engine.ts");
  const build: Way["build"] = (directory, tag, flags, env) =>
    run([...corten, "-H", engine.host, "build", "--progress", "plain", "-t", tag, ...flags, directory], {
      env,
    });
  return {
    engine,
    build: (item) => outcomeOf(item, { build, save }, world, base),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** Debian's dockerd on a private root, without networks: its steps have `--network none`. */
export async function startDocker(
  world: World,
): Promise<{ buildkit: Builder; classic: Builder } & AsyncDisposable> {
  const root = join(world.root, "dockerd");
  mkdirSync(root);
  const socket = join(root, "docker.sock");
  const log = openSync(join(root, "log"), "w");
  const flags = ["--data-root", join(root, "lib"), "--exec-root", join(root, "run")];
  const more = [
    "--pidfile",
    join(root, "pid"),
    "--bridge",
    "none",
    "--iptables=false",
    "-H",
    `unix://${socket}`,
  ];
  const daemon: ChildProcess = spawn("/usr/sbin/dockerd", [...flags, ...more], {
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const end = async () => {
    const ended = new Promise((done) => daemon.once("exit", done));
    if (daemon.exitCode === null && daemon.signalCode === null) {
      daemon.kill("SIGTERM");
      await ended;
    }
    rmSync(root, { recursive: true, force: true });
  };
  try {
    await until("dockerd", () => {
      if (daemon.exitCode !== null) throw new Error(readFileSync(join(root, "log"), "utf8"));
      return existsSync(socket) && answers(socket);
    });
    const docker = ["/usr/bin/docker", "-H", `unix://${socket}`];
    await must(run([...docker, "pull", "-q", world.registry.busybox]));
    await must(run([...docker, "tag", world.registry.busybox, "busybox"]));
    const save = saveByApi(socket);
    const base = readBase(await save("busybox"));
    const way = (mode: "0" | "1"): Way => ({
      save,
      build: (directory, tag, given, env) => {
        const own = mode === "1" ? ["--progress", "plain"] : [];
        const network = given.some((flag) => flag.startsWith("--network")) ? [] : ["--network", "none"];
        return run([...docker, "build", ...own, ...network, "-t", tag, ...given, directory], {
          env: { ...env, DOCKER_BUILDKIT: mode, GOGC: "off" },
        });
      },
    });
    const builder = (mode: "0" | "1"): Builder => ({
      build: (item) => outcomeOf(item, way(mode), world, base),
      [Symbol.asyncDispose]: async () => {},
    });
    return { buildkit: builder("1"), classic: builder("0"), [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** What its RUN leaves in the image for its own mounts. */
const leftByBuildah: Record<string, string> = {
  "/etc/hostname": "755 =",
  "/etc/hosts": "755 =",
  "/etc/resolv.conf": "755 =",
  "/run/": "755",
};

export async function startBuildah(world: World): Promise<Builder> {
  const root = join(world.root, "buildah");
  mkdirSync(join(root, "out"), { recursive: true });
  const buildah = (...argv: string[]) =>
    run([
      ...[
        "buildah",
        "--root",
        join(root, "storage"),
        "--runroot",
        join(root, "run"),
        "--storage-driver",
        "vfs",
      ],
      ...argv,
    ]);
  await must(buildah("pull", "-q", "--tls-verify=false", world.registry.busybox));
  await must(buildah("tag", world.registry.busybox, "docker.io/library/busybox:latest"));
  const save = async (tag: string) => readFileSync(join(root, "out", tag));
  await must(buildah("push", "-q", world.registry.busybox, `docker-archive:${join(root, "out/busybox")}`));
  const base = readBase(await save("busybox"));
  const build: Way["build"] = async (directory, tag, flags, env) => {
    const archive = join(root, "out", tag);
    const more = ["--isolation", "chroot", "--pull=false", "--tls-verify=false", "--format=docker", "-t"];
    return run(
      [
        ...["buildah", "--root", join(root, "storage"), "--runroot", join(root, "run")],
        ...["--storage-driver", "vfs", "bud", ...more],
        // Images that others are built on stay in the storage; the rest is only read.
        /^case\d/.test(tag) ? `docker-archive:${archive}` : tag,
        ...flags,
        directory,
      ],
      { env: { ...env, TMPDIR: root, GOGC: "off" } },
    );
  };
  return {
    build: async (item) => {
      const outcome = await outcomeOf(item, { build, save }, world, base);
      for (const [path, line] of Object.entries(outcome.tree ?? {}))
        if (leftByBuildah[path] === line) delete outcome.tree![path];
      return outcome;
    },
    [Symbol.asyncDispose]: async () => {
      await buildah("rm", "-a");
      rmSync(root, { recursive: true, force: true });
    },
  };
}
