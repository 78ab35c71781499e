import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCri } from "../cri.ts";
import { until } from "../engine.ts";
import { writePrograms } from "./runtimes.ts";
import { type Driver, type Engine, type Runtime, slowness } from "./types.ts";

/** A CRI server by crictl: a runtime is a handler with its own BinaryName, and each has one pod. */
export async function criByCrictl(kind: "corten" | "debian"): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), "corten-matrix-"));
  const programs = writePrograms(directory);
  const table = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes';
  const handlers = Object.entries({ ...programs, ...(kind === "corten" ? { vm: "vm" } : {}) }).map(
    ([name, path]) =>
      `[${table}.the-${name}]\nruntime_type = "io.containerd.runc.v2"\n[${table}.the-${name}.options]\nBinaryName = "${path}"\n`,
  );
  // containerd forgets its default when there are others.
  handlers.push(`[${table}.runc]\nruntime_type = "io.containerd.runc.v2"\n`);
  const cri = await startCri(kind, handlers.join(""));
  await cri.ok("pull", cri.busybox);
  const driverOf = async (runtime: Runtime): Promise<Driver> => {
    const slow = slowness(runtime);
    const crictlWith = (options: { input?: string }, ...argv: string[]) =>
      cri.crictlWith({ ...options, timeout: 60_000 * slow }, "--timeout", `${30 * slow}s`, ...argv);
    const crictl = (...argv: string[]) => crictlWith({}, ...argv);
    const ok = async (...argv: string[]) => {
      const { code, stdout, stderr } = await crictl(...argv);
      if (code !== 0) throw new Error(`crictl ${argv.join(" ")}: ${code}\n${stdout}${stderr}`);
      return stdout.replace(/\n$/, "");
    };
    const file = cri.podFile(`pod-${runtime}`);
    const handler = runtime === "ours" && kind === "corten" ? [] : ["-r", `the-${runtime}`];
    const pod = await ok("runp", ...handler, file);
    const ids = new Map<string, string>();
    const make = async (name: string, words: string[], more: Record<string, unknown> = {}) => {
      const id = await ok("create", pod, cri.containerFile(name, words, more), file);
      await ok("start", id);
      ids.set(name, id);
      return id;
    };
    const inspect = async (id: string) => JSON.parse(await ok("inspect", id)).status;
    const end = (id: string) =>
      until(`the end of ${id}`, async () => (await inspect(id)).state === "CONTAINER_EXITED", 10 * slow);
    const of = (name: string) => ids.get(name) ?? name;
    return {
      async once(name, words, { tty = false, input } = {}) {
        if (input !== undefined) {
          // A container of its own for the streams of an exec.
          const id = await make(name, ["sleep", "1000"]);
          const output = await crictlWith({ input }, "exec", "-i", id, ...words);
          await ok("stop", "-t", "0", id);
          return output;
        }
        const id = await make(name, words, { tty });
        await end(id);
        return { code: (await inspect(id)).exitCode, stdout: await ok("logs", id) };
      },
      async start(name, words) {
        await make(name, words, { linux: { resources: { memory_limit_in_bytes: 64 << 20 } } });
      },
      exec: (name, words) => crictl("exec", "-s", of(name), ...words),
      logs: (name) => ok("logs", of(name)),
      async kill(name) {
        await ok("stop", "-t", String(10 * slow), of(name));
        return (await inspect(of(name))).exitCode;
      },
      pause: async () => undefined,
      async stats(name) {
        const stats = JSON.parse(await ok("stats", "-o", "json", "--id", of(name))).stats[0];
        return Number(stats?.memory?.workingSetBytes?.value ?? 0);
      },
      checkpoint: async (name) =>
        (await crictl("checkpoint", "--export", join(directory, "cp.tar"), of(name))).code === 0,
      async remove(name) {
        await crictl("rm", "-f", of(name));
      },
    };
  };
  return {
    driver: driverOf,
    async [Symbol.asyncDispose]() {
      await cri[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
