/** A client that opens a process's FIFOs late, as one does on a busy machine, has all that a short process has said. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { packProcess, packSpec } from "../../src/containerd/client/index.ts";
import { defaultSpec } from "../../src/oci/default-spec.ts";
import { makeBundle } from "../helpers/bundle.ts";
import { startContainerd } from "../helpers/containerd.ts";
import { run } from "../helpers/engine.ts";

test("output of a container and of an exec reaches a reader that comes after they were asked for", async () => {
  await using bundle = makeBundle();
  await using containerd = await startContainerd();
  const client = await containerd.client();
  const { id: containerId, rootfs } = bundle;
  const process = (...args: string[]) => ({
    ...defaultSpec().process!,
    terminal: false,
    args: ["/bin/busybox", ...args],
  });
  const fifo = (name: string) => {
    const path = join(bundle.directory, name);
    spawnSync("mkfifo", [path]);
    return path;
  };
  /** Opens it only then; an output that is gone has no end for it either. */
  const late = (path: string) => run(["sh", "-c", `sleep 0.5; exec cat ${path}`], { timeout: 20_000 });

  const spec = {
    ...defaultSpec(),
    root: { path: rootfs },
    process: process("sh", "-c", "echo said; exec sleep 600"),
  };
  spec.linux = { ...spec.linux, cgroupsPath: bundle.cgroup };
  await client.containers.create({
    container: { id: containerId, runtime: { name: "io.containerd.runc.v2" }, spec: packSpec(spec) },
  });
  const first = fifo("first");
  const reading = late(first);
  await client.tasks.create({ containerId, stdout: first });
  await client.tasks.start({ containerId });

  const second = fifo("second");
  const execId = "short";
  const reader = late(second);
  await client.tasks.exec({
    containerId,
    execId,
    spec: packProcess(process("echo", "short")),
    stdout: second,
  });
  await client.tasks.start({ containerId, execId });
  expect((await client.tasks.wait({ containerId, execId })).exitStatus).toBe(0);
  expect((await reader).stdout).toBe("short\n");

  await client.tasks.kill({ containerId, signal: 9 });
  await client.tasks.wait({ containerId });
  expect((await reading).stdout).toBe("said\n");
  await client.tasks.delete({ containerId });
  await client.containers.delete({ id: containerId });
});
