import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startContainerd } from "../containerd.ts";
import { type Output, run, until } from "../engine.ts";
import type { TestRegistry } from "../images.ts";
import { writePrograms } from "./runtimes.ts";
import { type Driver, type Engine, slowness } from "./types.ts";

function ok(output: Output): string {
  if (output.code !== 0)
    throw new Error(`ended with ${output.code}: ${output.stderr}${output.stdout}`.slice(0, 500));
  return output.stdout;
}

/** Runs a program with `input` on a stdin that stays open. */
function interactive(
  argv: readonly string[],
  input: string,
  timeout: number,
): Promise<{ code: number; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ["pipe", "pipe", "ignore"], timeout });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stdin.write(input);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, stdout }));
  });
}

/** containerd by the real ctr: a runtime is a `--runc-binary`. */
export async function containerdByCtr(kind: "corten" | "debian", registry: TestRegistry): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), "corten-matrix-"));
  const programs = writePrograms(directory);
  const containerd = await startContainerd(kind);
  const namespace = `matrix-${kind}-${process.pid}`;
  const command = ["ctr", "-a", containerd.socket, "-n", namespace];
  const ctr = (...argv: string[]) => run([...command, ...argv], { timeout: 600_000 });
  ok(await ctr("images", "pull", "--plain-http", registry.busybox));
  const statusOf = async (id: string) =>
    new RegExp(`^${id} .* (\\w+) *$`, "m").exec(ok(await ctr("tasks", "ls")))?.[1];
  return {
    async driver(runtime): Promise<Driver> {
      const slow = slowness(runtime);
      const own = runtime === "ours" && kind === "corten";
      const flags = own ? [] : ["--runc-binary", runtime === "vm" ? "vm" : programs[runtime]];
      const log = (id: string) => join(directory, `${id}.log`);
      return {
        async once(id, words, { tty, input } = {}) {
          if (tty) {
            const line = [...command, "run", "--rm", "-t", ...flags, registry.busybox, id, ...words];
            const text = line.map((word) => `'${word}'`).join(" ");
            return run(["script", "-qec", text, "/dev/null"], { timeout: 60_000 * slow });
          }
          if (input === undefined) return ctr("run", "--rm", ...flags, registry.busybox, id, ...words);
          // ctr 1.6 forgets an end of stdin that comes before the start: there is none here.
          const line = [...command, "run", "--rm", ...flags, registry.busybox, id, ...words];
          return interactive(line, input, 20_000 * slow);
        },
        async start(id, words) {
          const more = ["--memory-limit", String(64 << 20), "--log-uri", `file://${log(id)}`];
          ok(await ctr("run", "-d", ...more, ...flags, registry.busybox, id, ...words));
        },
        exec: (id, words) => ctr("tasks", "exec", "--exec-id", `e${Date.now()}`, id, ...words),
        logs: async (id) => readFileSync(log(id), "utf8"),
        async kill(id) {
          ok(await ctr("tasks", "kill", id));
          await until(`the end of ${id}`, async () => (await statusOf(id)) === "STOPPED", 10 * slow);
          const { stderr } = await ctr("tasks", "rm", id);
          return Number(/exit with non-zero exit code (\d+)/.exec(stderr)?.[1] ?? 0);
        },
        async pause(id) {
          ok(await ctr("tasks", "pause", id));
          const status = await statusOf(id);
          ok(await ctr("tasks", "resume", id));
          return status === "PAUSED";
        },
        async stats(id) {
          const text = ok(await ctr("tasks", "metrics", id));
          return Number(/memory\.usage(?:_in_bytes)? +(\d+)/.exec(text)?.[1] ?? 0);
        },
        async limit(id) {
          const text = ok(await ctr("tasks", "metrics", id));
          return Number(/memory\.(?:usage_limit|limit_in_bytes) +(\d+)/.exec(text)?.[1] ?? 0);
        },
        checkpoint: async (id) => (await ctr("tasks", "checkpoint", id)).code === 0,
        async remove(id) {
          await ctr("tasks", "rm", "-f", id);
          await ctr("containers", "rm", id);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await containerd[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
