import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCri } from "../cri.ts";
import { until } from "../engine.ts";
import { writePrograms } from "./runtimes.ts";
import type { Driver, Engine, Runtime } from "./types.ts";

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
    const file = cri.podFile(`pod-${runtime}`);
    const handler = runtime === "ours" && kind === "corten" ? [] : ["-r", `the-${runtime}`];
    const pod = { id: await cri.ok("runp", ...handler, file), file };
    const ids = new Map<string, string>();
    const make = async (name: string, words: string[], more: Record<string, unknown> = {}) => {
      const id = await cri.container(pod, name, words, more);
      ids.set(name, id);
      return id;
    };
    const inspect = async (id: string) => JSON.parse(await cri.ok("inspect", id)).status;
    const end = (id: string) =>
      until(`the end of ${id}`, async () => (await inspect(id)).state === "CONTAINER_EXITED", 10);
    const of = (name: string) => ids.get(name) ?? name;
    return {
      async once(name, words, { tty = false, input } = {}) {
        if (input !== undefined) {
          // A container of its own for the streams of an exec.
          const id = await make(name, ["sleep", "1000"]);
          const output = await cri.crictlWith({ input }, "exec", "-i", id, ...words);
          await cri.ok("stop", "-t", "0", id);
          return output;
        }
        const id = await make(name, words, { tty });
        await end(id);
        return { code: (await inspect(id)).exitCode, stdout: await cri.ok("logs", id) };
      },
      async start(name, words) {
        await make(name, words, { linux: { resources: { memory_limit_in_bytes: 64 << 20 } } });
      },
      exec: (name, words) => cri.crictl("exec", "-s", of(name), ...words),
      logs: (name) => cri.ok("logs", of(name)),
      async kill(name) {
        await cri.ok("stop", "-t", "10", of(name));
        return (await inspect(of(name))).exitCode;
      },
      pause: async () => undefined,
      async stats(name) {
        const stats = JSON.parse(await cri.ok("stats", "-o", "json", "--id", of(name))).stats[0];
        return Number(stats?.memory?.workingSetBytes?.value ?? 0);
      },
      checkpoint: async (name) =>
        (await cri.crictl("checkpoint", "--export", join(directory, "cp.tar"), of(name))).code === 0,
      async remove(name) {
        await cri.crictl("rm", "-f", of(name));
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
