/** A containerd of the test's own, ours as a process or Debian's, with everything it leaves behind checked. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ContainerdClient, connectContainerd } from "../../src/containerd/client/index.ts";
import { corten, leftovers, type Output, run, until } from "./engine.ts";
import { answersAnew } from "./sockets.ts";

export interface TestContainerd extends AsyncDisposable {
  readonly root: string;
  readonly socket: string;
  readonly pid: number;
  /** The real ctr against it. */
  ctr(...argv: string[]): Promise<Output>;
  /** Our ctr against it. */
  cortenCtr(...argv: string[]): Promise<Output>;
  /** How our program is called. */
  readonly cortenCommand: readonly string[];
  client(namespace?: string): Promise<ContainerdClient>;
  /** kill -9 of the daemon, nothing else. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  log(): string;
}

/**
 * What a command under the real ctr has printed. ctr 1.6 gives up an output whose opening it has not noticed by the time the
 * command has ended, which on a busy machine is now and then: nothing at all is asked for again.
 */
export async function printed<T extends { stdout: string } | { output: string }>(
  ask: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const answer = await ask();
    if (("stdout" in answer ? answer.stdout : answer.output) !== "" || tries === 5) return answer;
  }
}

/** `config` is a config.toml for ours. */
export async function startContainerd(
  kind: "corten" | "debian" = "corten",
  config?: string,
): Promise<TestContainerd> {
  const root = mkdtempSync(join(tmpdir(), "corten-ctrd-"));
  const socket = join(root, "run/containerd.sock");
  const argv = kind === "corten" ? [...corten, "containerd", "--log-level", "debug"] : ["containerd"];
  argv.push("--root", join(root, "lib"), "--state", join(root, "run"), "--address", socket);
  if (config !== undefined) {
    writeFileSync(join(root, "config.toml"), config);
    argv.push("--config", join(root, "config.toml"));
  }
  if (kind === "debian") {
    // Its default plugins want places of the machine (CNI, /opt, a TTRPC socket): only what the API needs.
    writeFileSync(
      join(root, "config.toml"),
      `version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[ttrpc]
  address = "${join(root, "run/ttrpc.sock")}"
`,
    );
    argv.push("--config", join(root, "config.toml"));
  }
  let child: ChildProcess | undefined;
  let log = "";
  const clients: ContainerdClient[] = [];
  const start = async () => {
    const answering = answersAnew(socket);
    const started = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    child = started;
    const collect = (text: string) => {
      log += text;
    };
    started.stdout.setEncoding("utf8").on("data", collect);
    started.stderr.setEncoding("utf8").on("data", collect);
    await until(`containerd on ${socket}`, () => {
      if (started.exitCode !== null) throw new Error(`containerd ended with ${started.exitCode}:\n${log}`);
      return answering();
    });
  };
  const ended = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise((done) => child!.once("exit", done));
  };
  await start();
  const containerd: TestContainerd = {
    root,
    socket,
    get pid() {
      return child!.pid!;
    },
    ctr: (...args) => run(["ctr", "--address", socket, ...args]),
    cortenCommand: corten,
    cortenCtr: (...args) => run([...corten, "ctr", "--address", socket, ...args]),
    async client(namespace = "default") {
      const client = await connectContainerd(socket, namespace);
      clients.push(client);
      return client;
    },
    async kill() {
      child?.kill("SIGKILL");
      await ended();
    },
    async restart() {
      await containerd.kill();
      await start();
    },
    log: () => log,
    async [Symbol.asyncDispose]() {
      if (child?.exitCode === null && child.signalCode === null) {
        await removeAll(containerd).catch(() => {});
        for (const client of clients) client.close();
        child.kill("SIGTERM");
        const timer = setTimeout(() => child?.kill("SIGKILL"), 10_000);
        await ended();
        clearTimeout(timer);
      }
      const remaining = () => leftovers(root).filter((line) => !line.includes("mount") || kind === "corten");
      const forgotten = (line: string) => kind === "debian" && line.includes("/containerd-shim-runc-v2 ");
      // Our shim's server tries for two seconds to tell a containerd that is gone what has happened.
      await until("the end of what ran", () => remaining().every(forgotten), 60).catch(() => {});
      await until("the end of Go's shims", () => remaining().length === 0, 5).catch(() => {});
      for (const line of remaining().filter(forgotten)) await endForgotten(line);
      const left = remaining();
      sweep(root);
      if (left.length > 0) throw new Error(`containerd left behind:\n${left.join("\n")}\n${log}`);
    },
  };
  return containerd;
}

/** Ends and removes all tasks of all namespaces. */
async function removeAll(containerd: TestContainerd): Promise<void> {
  const first = await containerd.client();
  const { namespaces } = await first.namespaces.list({});
  for (const { name } of namespaces) {
    const client = first.with({ namespace: name });
    const { tasks } = await client.tasks.list({});
    for (const task of tasks) {
      // containerd 1.6 says whose task it is by `id` alone.
      const containerId = task.containerId || task.id;
      await client.tasks.kill({ containerId, signal: 9, all: true }).catch(() => {});
      await client.tasks.wait({ containerId }, { timeoutMs: 10_000 }).catch(() => {});
      await client.tasks.delete({ containerId }).catch(() => {});
    }
    // Runtimes leave the directory above a container's: it is the whole namespace's. Others may use "default".
    if (name === "default") continue;
    const controllers = readdirSync("/sys/fs/cgroup").map((controller) => join("/sys/fs/cgroup", controller));
    for (const parent of [...controllers, "/run/containerd/runc"]) {
      try {
        rmdirSync(join(parent, name));
      } catch {
        // Not there, or not ours alone.
      }
    }
  }
}

/**
 * containerd 1.6 forgets a shim whose task's creation was cut off with its client (ctr's time was over): nobody can end it by
 * its API. That is not what a test here is about: it is ended with what it runs, and said.
 */
async function endForgotten(line: string): Promise<void> {
  console.error(`the real containerd had forgotten: ${line}`);
  const [, shim, namespace, id] = line.match(/^process (\d+) .* -namespace (\S+) -id (\S+)/) ?? [];
  if (!shim || !namespace || !id) return;
  let children = "";
  try {
    children = readFileSync(`/proc/${shim}/task/${shim}/children`, "utf8");
  } catch {
    // It has just ended.
  }
  spawnSync("kill", ["-9", shim, ...children.split(" ").filter(Boolean)]);
  await until(`the end of ${shim}`, () => !isRunning(shim));
  rmSync(join("/run/containerd/runc", namespace, id), { recursive: true, force: true });
  for (const controller of readdirSync("/sys/fs/cgroup"))
    await until(`the end of cgroup ${id}`, () => removed(join("/sys/fs/cgroup", controller, namespace, id)));
}

function isRunning(pid: string): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** False while something is in it that is just ending. */
function removed(cgroup: string): boolean {
  try {
    rmdirSync(cgroup);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EBUSY";
  }
  return true;
}

function sweep(root: string): void {
  for (const line of leftovers(root)) {
    const pid = line.match(/^process (\d+)/)?.[1];
    if (pid) spawnSync("kill", ["-9", pid]);
  }
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${root}/`));
  for (const path of mounts.reverse()) spawnSync("umount", ["-l", path]);
  rmSync(root, { recursive: true, force: true });
}
