/**
 * An engine of the test's own: own data root, exec root, socket, bridge. `await using engine = await startEngine()`
 * ends the daemon, removes its containers, and fails the test if anything of it is left on the machine.
 */
import { existsSync, mkdtempSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endWhenAbandoned } from "./abandoned.ts";
import { interfacesOf, leftovers, sweep } from "./leftovers.ts";

export { leftovers } from "./leftovers.ts";

const repository = join(import.meta.dir, "../..");

/** How to call our program: the built executable, or the sources when it is not built. */
export const corten: string[] = process.env["CORTEN_BIN"]
  ? [process.env["CORTEN_BIN"]]
  : existsSync(join(repository, "dist/corten"))
    ? [join(repository, "dist/corten")]
    : [process.execPath, join(repository, "src/main.ts")];

export interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end without blocking the event loop. `timeout` in milliseconds ends it with SIGKILL. */
export async function run(
  argv: string[],
  options: { input?: string; env?: Record<string, string>; cwd?: string; timeout?: number } = {},
): Promise<Output> {
  // Not node:child_process, which in Bun can lose what a program said and that it ended.
  const child = Bun.spawn(argv, {
    env: { ...process.env, ...options.env },
    ...(options.cwd ? { cwd: options.cwd } : {}),
    stdio: [Buffer.from(options.input ?? ""), "pipe", "pipe"],
  });
  const { timeout = 200_000 } = options;
  let late = "";
  const timer = setTimeout(() => {
    late = `[killed: it had not ended after ${timeout / 1000} s]\n`;
    child.kill("SIGKILL");
  }, timeout);
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  clearTimeout(timer);
  return { code: child.signalCode ? 128 : child.exitCode!, stdout, stderr: stderr + late };
}

/** Waits until `probe` gives something true; throws with `what` after `seconds`. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  seconds = 120,
): Promise<NonNullable<Exclude<T, false>>> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await probe();
    if (value) return value as NonNullable<Exclude<T, false>>;
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

/** True when something accepts connections on a unix socket. */
export function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath);
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** True when something accepts connections on a port of 127.0.0.1. */
export function answersTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

export interface Engine extends AsyncDisposable {
  readonly root: string;
  readonly socket: string;
  readonly host: string;
  readonly pid: number;
  /** The real docker CLI against this engine. */
  docker(...argv: string[]): Promise<Output>;
  /** Our CLI against this engine. */
  corten(...argv: string[]): Promise<Output>;
  /** kill -9 of the daemon, nothing else. */
  kill(): Promise<void>;
  /** Starts the daemon again on the same roots. */
  restart(): Promise<void>;
  log(): string;
}

/** Starts `corten dockerd` on roots of its own. `flags` are added to its command line. */
export async function startEngine(flags: string[] = []): Promise<Engine> {
  const root = mkdtempSync(join(tmpdir(), "corten-engine-"));
  const socket = join(root, "docker.sock");
  const host = `unix://${socket}`;
  const logPath = join(root, "dockerd.log");
  let child: ReturnType<typeof launch> | undefined;
  let log = "";

  const launch = () =>
    Bun.spawn(
      [
        ...corten,
        "dockerd",
        "--data-root",
        join(root, "lib"),
        "--exec-root",
        join(root, "run"),
        "--pidfile",
        join(root, "dockerd.pid"),
        "-H",
        host,
        ...flags,
      ],
      // Without it Bun passes on the environment of this process' start.
      { env: process.env, stdio: ["ignore", "pipe", "pipe"] },
    );
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) log += decoder.decode(chunk, { stream: true });
  };
  const start = async () => {
    const started = launch();
    child = started;
    for (const stream of [started.stdout, started.stderr]) void collect(stream);
    await until(`dockerd on ${socket}`, () => {
      if (started.exitCode !== null || started.signalCode !== null)
        throw new Error(`dockerd ended with ${started.signalCode ?? started.exitCode}:\n${log}`);
      return existsSync(socket) && answers(socket);
    });
  };
  const ended = async () => {
    await child?.exited;
  };

  // Its containers, its networks and its table are the kernel's, and outlive everything.
  const over = endWhenAbandoned(async () => {
    child?.kill("SIGKILL");
    await ended();
    sweep(root);
  });
  await start();
  const engine: Engine = {
    root,
    socket,
    host,
    get pid() {
      return child!.pid!;
    },
    docker: (...argv) => run(["docker", "-H", host, ...argv]),
    corten: (...argv) => run([...corten, "-H", host, ...argv]),
    async kill() {
      child?.kill("SIGKILL");
      await ended();
    },
    async restart() {
      await this.kill();
      await start();
    },
    log: () => log,
    async [Symbol.asyncDispose]() {
      let orderly = false;
      if (child?.exitCode === null && child.signalCode === null) {
        const ids = await this.docker("ps", "-aq", "--no-trunc");
        const all = ids.stdout.split("\n").filter(Boolean);
        if (all.length > 0) await this.docker("rm", "-f", ...all);
        child.kill("SIGTERM");
        const timer = setTimeout(() => child?.kill("SIGKILL"), 60_000);
        await ended();
        clearTimeout(timer);
        orderly = true;
      }
      over();
      const remains = () => [
        ...leftovers(root),
        ...(child?.signalCode && orderly ? [`a daemon that SIGTERM does not end`] : []),
        // A daemon that was killed cannot take them away.
        ...(orderly ? interfacesOf(root).map((name) => `interface ${name}`) : []),
      ];
      // A monitor has told of its process' end before it has ended itself.
      await until("the end of what ran", () => remains().length === 0, 20).catch(() => {});
      const left = remains();
      // What hides behind a failed test is still to be seen.
      if (left.length > 0) console.error(`the engine left behind:\n${left.join("\n")}`);
      sweep(root);
      if (left.length > 0) throw new Error(`the engine left behind:\n${left.join("\n")}\n${log}\n${logPath}`);
    },
  };
  return engine;
}
