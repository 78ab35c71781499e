/** The two engines of a benchmark, each on roots of its own in the benchmark's own network namespace. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { createConnection } from "node:net";
import { join } from "node:path";

export const corten = process.env["CORTEN_BIN"] ?? join(import.meta.dir, "../dist/corten");

export interface Peer {
  name: "corten" | "docker";
  /** The command line in front of a docker verb. */
  cli: string[];
  socket: string;
  /** Process ids of the daemons and what they keep for containers. */
  pids(): number[];
  stop(): Promise<void>;
}

const children: ChildProcess[] = [];

export function start(argv: string[], log: string): ChildProcess {
  const output = openSync(log, "a");
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", output, output] });
  closeSync(output);
  children.push(child);
  return child;
}

export function stopAll(): void {
  for (const child of children) child.kill("SIGKILL");
}

export const pause = (milliseconds: number) => new Promise((next) => setTimeout(next, milliseconds));

export async function answers(socket: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const ok = await new Promise<boolean>((resolve) => {
      if (!existsSync(socket)) return resolve(false);
      const probe = createConnection(socket, () => {
        probe.destroy();
        resolve(true);
      });
      probe.on("error", () => resolve(false));
    });
    if (ok) return;
    await pause(50);
  }
  throw new Error(`nothing answers on ${socket}`);
}

/** Pids of every process whose command line or environment names `root`, and of their children. */
export function pidsNaming(root: string): number[] {
  const found: number[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/cmdline`, "utf8").includes(root)) found.push(Number(entry));
    } catch {
      // Ended meanwhile.
    }
  }
  return found;
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill("SIGTERM");
  await Promise.race([new Promise((done) => child.once("exit", done)), pause(15_000)]);
  child.kill("SIGKILL");
}

export async function startCorten(
  root: string,
  registry: string,
  network = ["--bridge", "ctbench0"],
): Promise<Peer> {
  mkdirSync(root, { recursive: true });
  const socket = join(root, "docker.sock");
  const child = start(
    [
      corten,
      "dockerd",
      "--data-root",
      join(root, "lib"),
      "--exec-root",
      join(root, "run"),
      "--pidfile",
      join(root, "pid"),
      "-H",
      `unix://${socket}`,
      ...network,
      "--insecure-registry",
      registry,
    ],
    join(root, "log"),
  );
  await answers(socket);
  return {
    name: "corten",
    cli: [corten, "-H", `unix://${socket}`],
    socket,
    pids: () => pidsNaming(root),
    stop: () => end(child),
  };
}

export async function startDocker(root: string, registry: string): Promise<Peer> {
  mkdirSync(root, { recursive: true });
  const socket = join(root, "docker.sock");
  writeFileSync(join(root, "daemon.json"), "{}");
  const child = start(
    [
      "/usr/sbin/dockerd",
      "--config-file",
      join(root, "daemon.json"),
      "--data-root",
      join(root, "lib"),
      "--exec-root",
      join(root, "run"),
      "--pidfile",
      join(root, "pid"),
      "-H",
      `unix://${socket}`,
      "--insecure-registry",
      registry,
    ],
    join(root, "log"),
  );
  await answers(socket);
  return {
    name: "docker",
    cli: ["/usr/local/bin/docker", "-H", `unix://${socket}`],
    socket,
    pids: () => pidsNaming(root),
    stop: () => end(child),
  };
}

/**
 * A program run to its end; throws with its output when it fails. By Bun's spawn: node's costs 0.5 to 0.8 ms of processor
 * time more for each, on either side, which is much of ten starts at a time on two processors.
 */
export async function must(
  argv: string[],
  options: { input?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const child = Bun.spawn(argv, {
    stdin: options.input === undefined ? "ignore" : new Blob([options.input]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${errors}${output}`);
  return output;
}

/** One Engine API call; gives the decoded body. */
export function api(socket: string, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath: socket, method, path: `/v1.41${path}`, headers: { "Content-Type": "application/json" } },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece) => {
          text += piece;
        });
        answer.on("end", () => {
          if ((answer.statusCode ?? 500) >= 400)
            return reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
          try {
            resolve(text ? JSON.parse(text) : undefined);
          } catch {
            resolve(text);
          }
        });
      },
    );
    call.on("error", reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Proportional set size of processes, in MB: shared pages count by their share. */
export function pss(pids: number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    try {
      kilobytes += Number(
        readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+)/m)?.[1] ?? 0,
      );
    } catch {
      // Ended meanwhile.
    }
  }
  return kilobytes / 1024;
}

export function quiet(argv: string[]): void {
  spawnSync(argv[0]!, argv.slice(1), { stdio: "ignore" });
}
