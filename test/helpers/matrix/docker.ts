import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, type Output, run, startEngine, until } from "../engine.ts";
import type { TestRegistry } from "../images.ts";
import { writePrograms } from "./runtimes.ts";
import { type Driver, type Engine, slowness } from "./types.ts";

/** A number with docker's or podman's unit → bytes. */
function bytes(text: string): number {
  const [, number = "0", unit = "B"] = /([\d.]+)\s*([kKMG]?i?B)/.exec(text) ?? [];
  const power = "BKMG".indexOf(unit[0]!.toUpperCase());
  return Number(number) * (unit.includes("i") ? 1024 : 1000) ** Math.max(power, 0);
}

function ok(output: Output): string {
  if (output.code !== 0)
    throw new Error(`ended with ${output.code}: ${output.stderr}${output.stdout}`.slice(0, 500));
  return output.stdout;
}

/** A driver over the command line that docker and podman share. */
export function dockerDriver(
  command: readonly string[],
  image: string,
  flags: readonly string[],
  slow = 1,
): Driver {
  const timeout = 60_000 * slow;
  const cli = (...argv: string[]) => run([...command, ...argv], { timeout });
  return {
    async once(id, words, { tty, input } = {}) {
      const name = ["--rm", "--name", id, "--network", "none", ...flags];
      if (tty) {
        const line = [...command, "run", "-t", ...name, image, ...words].map((word) => `'${word}'`).join(" ");
        return run(["script", "-qec", line, "/dev/null"], { timeout });
      }
      const argv = [...command, "run", ...(input === undefined ? [] : ["-i"]), ...name, image, ...words];
      return run(argv, { timeout, ...(input === undefined ? {} : { input }) });
    },
    async start(id, words) {
      const limits = ["--memory", "64m", "--network", "none"];
      ok(await cli("run", "-d", "--name", id, ...limits, ...flags, image, ...words));
    },
    exec: (id, words) => cli("exec", id, ...words),
    logs: async (id) => ok(await cli("logs", id)),
    async kill(id) {
      ok(await cli("kill", "-s", "TERM", id));
      return Number(ok(await cli("wait", id)));
    },
    async pause(id) {
      ok(await cli("pause", id));
      const status = ok(await cli("inspect", "-f", "{{.State.Status}}", id)).trim();
      ok(await cli("unpause", id));
      return status === "paused";
    },
    // docker itself waits for 2 s at most.
    stats: (id) =>
      until(
        `counters of ${id}`,
        async () => {
          const told = await cli("stats", "--no-stream", "--format", "{{.MemUsage}}", id);
          return told.code === 0 && bytes(told.stdout);
        },
        25 * slow,
      ),
    async checkpoint(id) {
      const words = command[0] === "podman" ? ["container", "checkpoint"] : ["checkpoint", "create"];
      return (await cli(...words, id, ...(command[0] === "podman" ? [] : ["one"]))).code === 0;
    },
    async remove(id) {
      await cli("rm", "-f", ...(command[0] === "podman" ? ["-t", "0"] : []), id);
    },
  };
}

export async function ourDockerd(registry: TestRegistry): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), "corten-matrix-"));
  const programs = writePrograms(directory);
  const others = (["runc", "crun", "runsc"] as const).filter((name) => existsSync(programs[name]));
  const engine = await startEngine(
    others.flatMap((name) => ["--add-runtime", `real-${name}=${programs[name]}`]),
  );
  const command = ["docker", "-H", engine.host];
  ok(await run([...command, "pull", "-q", registry.busybox]));
  return {
    driver: async (runtime) =>
      dockerDriver(
        command,
        registry.busybox,
        ["--runtime", runtime === "ours" ? "corten" : runtime === "vm" ? "vm" : `real-${runtime}`],
        slowness(runtime),
      ),
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export async function realDockerd(registry: TestRegistry): Promise<Engine> {
  const root = mkdtempSync(join(tmpdir(), "corten-matrix-"));
  const programs = writePrograms(root);
  const socket = join(root, "docker.sock");
  writeFileSync(join(root, "daemon.json"), "{}");
  const daemon = spawn(
    "/usr/sbin/dockerd",
    [
      ...["--config-file", join(root, "daemon.json"), "--data-root", join(root, "lib")],
      ...["--exec-root", join(root, "run"), "--pidfile", join(root, "pid"), "-H", `unix://${socket}`],
      ...["--bridge", "none", "--iptables=false", "--storage-driver", "overlay2", "--experimental"],
      ...(["ours", "runc", "crun", "runsc"] as const).flatMap((name) => [
        "--add-runtime",
        `the-${name}=${programs[name]}`,
      ]),
    ],
    { stdio: "ignore" },
  );
  const command = ["docker", "-H", `unix://${socket}`];
  const close = async () => {
    if (daemon.exitCode === null) {
      const ended = new Promise((done) => daemon.once("exit", done));
      daemon.kill("SIGTERM");
      await ended;
    }
    await run(["sh", "-c", `umount -l ${root}/run/netns/* ${root}/lib/overlay2 2>/dev/null; rm -rf ${root}`]);
  };
  try {
    await until("dockerd", async () => existsSync(socket) && (await answers(socket)));
    ok(await run([...command, "pull", "-q", registry.busybox]));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    driver: async (runtime) => dockerDriver(command, registry.busybox, ["--runtime", `the-${runtime}`]),
    [Symbol.asyncDispose]: close,
  };
}

export async function podman(registry: TestRegistry): Promise<Engine> {
  const root = mkdtempSync(join(tmpdir(), "corten-matrix-"));
  const programs = writePrograms(root);
  mkdirSync(join(root, "tmp"));
  const base = [
    ...["podman", "--root", `${root}/root`, "--runroot", `${root}/run`, "--tmpdir", `${root}/tmp`],
    ...["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"],
  ];
  const close = async () => {
    await run([...base, "rm", "-f", "-a", "-t", "0"]);
    await run(["sh", "-c", `umount -l ${root}/root/vfs ${root}/run 2>/dev/null; rm -rf ${root}`]);
  };
  try {
    ok(await run([...base, "pull", "-q", "--tls-verify=false", registry.busybox]));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    driver: async (runtime) =>
      dockerDriver([...base, "--runtime", runtime === "vm" ? "vm" : programs[runtime]], registry.busybox, [
        "--tls-verify=false",
        "--log-driver",
        "k8s-file",
      ]),
    [Symbol.asyncDispose]: close,
  };
}
