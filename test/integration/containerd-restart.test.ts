/** kill -9 of containerd: what runs goes on, what ends meanwhile is known, what was half made is gone. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type TaskExit, TaskExitSchema } from "../../proto/gen/containerd/events/task_pb.ts";
import { Status } from "../../proto/gen/containerd/v1/types/task_pb.ts";
import { isCode } from "../../src/base/errors.ts";
import {
  type ContainerdClient,
  packProcess,
  packSpec,
  pull,
  subscribe,
  withLease,
} from "../../src/containerd/client/index.ts";
import { defaultSpec } from "../../src/oci/default-spec.ts";
import type { Process } from "../../src/oci/runtime-spec.ts";
import { createResolver } from "../../src/registry/index.ts";
import { startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { leftovers, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const needed = ["docker-registry", "skopeo", "/bin/busybox"];
const test = requires(...needed);
const ready = needed.every((program) => program.startsWith("/") || Bun.which(program));
let registry: TestRegistry;
let containerd: TestContainerd;
let client: ContainerdClient;
let base: string;
const snapshotter = "overlayfs";

beforeAll(async () => {
  if (!ready) return;
  registry = await startTestRegistry();
  containerd = await startContainerd();
  client = await containerd.client();
  const resolver = createResolver({ plainHttp: true });
  base = (await pull(client, { ref: registry.busybox, resolver })).content.chainIds.at(-1)!;
});
afterAll(async () => {
  if (!ready) return;
  await registry[Symbol.asyncDispose]();
  await containerd[Symbol.asyncDispose]();
});

function processOf(args: string[]): Process {
  const { process } = defaultSpec();
  return { ...process!, terminal: false, args };
}

const dirOf = (id: string) => join(containerd.root, "monitors", id);
const logOf = (id: string) => join(containerd.root, "logs", `${id}.log`);

/** A container and its task, with a raw log written by its monitor. */
async function startTask(id: string, args: string[], cgroupsPath?: string): Promise<number> {
  mkdirSync(join(containerd.root, "monitors"), { recursive: true });
  mkdirSync(join(containerd.root, "logs"), { recursive: true });
  const spec = { ...defaultSpec(), process: processOf(args) };
  spec.root = { path: "rootfs", readonly: false };
  if (cgroupsPath) spec.linux = { ...spec.linux, cgroupsPath };
  return withLease(client, async (leased) => {
    const { mounts } = await leased.snapshots.prepare({ snapshotter, key: id, parent: base });
    await leased.containers.create({
      container: {
        id,
        snapshotter,
        snapshotKey: id,
        runtime: { name: "io.containerd.runc.v2" },
        spec: packSpec(spec),
      },
    });
    const stdout = `monitor://${dirOf(id)}?log=${logOf(id)}&format=raw`;
    const { pid } = await leased.tasks.create({ containerId: id, rootfs: mounts, stdout, stderr: stdout });
    await leased.tasks.start({ containerId: id });
    return pid;
  });
}

const stateOf = async (containerId: string, execId = "") =>
  (await client.tasks.get({ containerId, execId })).process;

async function removeTask(id: string): Promise<void> {
  await client.tasks.kill({ containerId: id, signal: 9 }).catch(() => {});
  await client.tasks.wait({ containerId: id });
  await client.tasks.delete({ containerId: id });
  await client.containers.delete({ id });
  await client.snapshots.remove({ snapshotter, key: id }).catch((error) => {
    // Nothing refers to it any more: the collector may have been here first.
    if (!isCode(error, "not_found")) throw error;
  });
}

async function killAndRestart(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  client.close();
  await containerd.kill();
  await meanwhile();
  await containerd.restart();
  client = await containerd.client();
}

/** Lines of a counting task's log, complete ones only. */
const countedLines = (id: string) => readFileSync(logOf(id), "utf8").split("\n").slice(0, -1).map(Number);
const counting = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"];

describe("containerd after kill -9", () => {
  test("running tasks go on, lose no line of output, and can be exec'ed into, ended and removed", async () => {
    const ids = ["runs-1", "runs-2", "runs-3"];
    const pids = new Map<string, number>();
    for (const id of ids) pids.set(id, await startTask(id, counting));
    await client.tasks.exec({
      containerId: "runs-1",
      execId: "side",
      spec: packProcess(processOf(["sleep", "1000"])),
      stdout: `monitor://${dirOf("side")}`,
    });
    await client.tasks.start({ containerId: "runs-1", execId: "side" });
    for (let round = 0; round < 3; round++) await killAndRestart();
    for (const id of ids) {
      const state = await stateOf(id);
      expect(state?.status).toBe(Status.RUNNING);
      expect(state?.pid).toBe(pids.get(id)!);
      const before = countedLines(id).length;
      await until(`more output of ${id}`, () => countedLines(id).length > before);
      const lines = countedLines(id);
      expect(lines).toEqual(lines.map((_, index) => index + 1));
    }
    expect((await stateOf("runs-1", "side"))?.status).toBe(Status.RUNNING);
    await client.tasks.kill({ containerId: "runs-1", execId: "side", signal: 15 });
    expect((await client.tasks.wait({ containerId: "runs-1", execId: "side" })).exitStatus).toBe(143);
    await client.tasks.exec({
      containerId: "runs-2",
      execId: "new",
      spec: packProcess(processOf(["sh", "-c", "exit 6"])),
      stdout: `monitor://${dirOf("new")}`,
    });
    const waiting = client.tasks.wait({ containerId: "runs-2", execId: "new" });
    await client.tasks.start({ containerId: "runs-2", execId: "new" });
    expect((await waiting).exitStatus).toBe(6);
    for (const id of ids) await removeTask(id);
    expect((await client.tasks.list({})).tasks).toEqual([]);
  });

  test("what ended without a daemon is known with its status and time, and told to those who come back", async () => {
    await startTask("ends", ["sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; exit 5"]);
    const victim = await startTask("killed", ["sleep", "1000"]);
    let from = 0;
    let to = 0;
    await killAndRestart(async () => {
      from = Date.now();
      process.kill(victim, "SIGKILL");
      const ends = JSON.parse(readFileSync(join(dirOf("ends"), "pid"), "utf8"));
      writeFileSync(`/proc/${ends}/root/go`, "");
      await until("both exit records", () =>
        ["ends", "killed"].every((id) => existsSync(join(dirOf(id), "exit.json"))),
      );
      to = Date.now();
    });
    const seen = new Map<string, TaskExit>();
    for await (const { event } of subscribe(client, ['topic=="/tasks/exit"'])) {
      const exit = create(TaskExitSchema, event as TaskExit);
      seen.set(exit.containerId, exit);
      if (seen.size === 2) break;
    }
    expect(seen.get("ends")?.exitStatus).toBe(5);
    expect(seen.get("killed")?.exitStatus).toBe(137);
    for (const [id, status] of [
      ["ends", 5],
      ["killed", 137],
    ] as const) {
      const state = await stateOf(id);
      expect(state?.status).toBe(Status.STOPPED);
      expect(state?.exitStatus).toBe(status);
      const exitedAt = Number(state?.exitedAt?.seconds) * 1000 + (state?.exitedAt?.nanos ?? 0) / 1e6;
      expect(exitedAt).toBeGreaterThanOrEqual(from - 1);
      expect(exitedAt).toBeLessThanOrEqual(to + 1);
      await removeTask(id);
    }
  });

  test("a daemon killed at random moments of create and delete leaves nothing of what it had begun", async () => {
    const parent = `corten-kill-${process.pid}`;
    for (let round = 0; round < 8; round++) {
      const ids = [0, 1, 2, 3].map((at) => `begun-${round}-${at}`);
      const work = ids.map(async (id, at) => {
        await startTask(id, ["sleep", "1000"], `/${parent}/${id}`);
        if (at % 2 === 0) await removeTask(id);
      });
      const settled = Promise.allSettled(work);
      await new Promise((next) => setTimeout(next, (round * 23) % 150));
      await killAndRestart();
      await settled;
      for (const { id } of (await client.tasks.list({})).tasks) {
        await client.tasks.kill({ containerId: id, signal: 9 }).catch(() => {});
        await client.tasks.wait({ containerId: id });
        await client.tasks.delete({ containerId: id });
      }
      for (const { id } of (await client.containers.list({ filters: ["id~=^begun"] })).containers)
        await client.containers.delete({ id });
    }
    const remaining = () =>
      leftovers(join(containerd.root, "run")).filter((line) => !line.includes(" containerd --"));
    await until("the end of all processes", () => remaining().length === 0, 60).catch(() => {});
    expect(remaining()).toEqual([]);
    const cgroups = readdirSync("/sys/fs/cgroup")
      .map((controller) => join("/sys/fs/cgroup", controller, parent))
      .filter((path) => existsSync(path));
    const left = cgroups.flatMap((path) =>
      readdirSync(path, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(path, entry.name)),
    );
    for (const path of cgroups) {
      for (const child of left.filter((entry) => entry.startsWith(`${path}/`))) rmdirSync(child);
      rmdirSync(path);
    }
    expect(left).toEqual([]);
    expect(readdirSync(join(containerd.root, "run/io.containerd.runtime.v2.task/default"))).toEqual([]);
    expect(readdirSync(join(containerd.root, "run/runc/default"))).toEqual([]);
  });

  test("a paused task is still paused", async () => {
    await startTask("frozen", counting);
    await client.tasks.pause({ containerId: "frozen" });
    await killAndRestart();
    expect((await stateOf("frozen"))?.status).toBe(Status.PAUSED);
    await client.tasks.resume({ containerId: "frozen" });
    expect((await stateOf("frozen"))?.status).toBe(Status.RUNNING);
    await removeTask("frozen");
  });

  test("a task that was half made is removed with its mounts", async () => {
    const bundle = join(containerd.root, "run/io.containerd.runtime.v2.task/default/half");
    const { mounts } = await client.snapshots.prepare({
      snapshotter,
      key: "half",
      parent: base,
      labels: { "containerd.io/gc.root": "now" },
    });
    const rootfs = join(bundle, "rootfs");
    await killAndRestart(async () => {
      mkdirSync(rootfs, { recursive: true });
      const { mountAll } = await import("../../src/sys/mount.ts");
      mountAll(mounts, rootfs);
      const runtime = {
        root: join(containerd.root, "run/runc/default"),
        systemdCgroup: false,
        noPivotRoot: false,
        noNewKeyring: false,
      };
      const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
      const record = {
        version: 1,
        namespace: "default",
        id: "half",
        runtime,
        state: "making",
        mounted: true,
        ownPidNamespace: true,
        processes: [{ execId: "", stdio, monitorDir: join(bundle, "init"), pid: 0, started: false }],
      };
      writeFileSync(join(bundle, "task.json"), JSON.stringify(record));
    });
    expect(existsSync(bundle)).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(bundle);
    await client.snapshots.remove({ snapshotter, key: "half" });
  });

  test("metadata, content and leases are what they were; a broken-off ingest can go on", async () => {
    const before = await client.images.list({});
    await client.leases.create({ id: "kept" });
    const { writeBlob } = await import("../../src/containerd/client/index.ts");
    const { digestOf } = await import("../../src/oci/digest.ts");
    const data = new Uint8Array(800_000).fill(7);
    const options = { ref: "part", digest: digestOf(data), size: data.byteLength };
    const cut = writeBlob(client.with({ lease: "kept" }), options, async function* () {
      yield data.subarray(0, 500_000);
      await killAndRestart();
      throw new Error("the daemon is gone");
    });
    await cut.then(
      () => {
        throw new Error("the write survived its daemon");
      },
      () => {},
    );
    expect(await client.images.list({})).toEqual(before);
    let from = -1;
    await writeBlob(client.with({ lease: "kept" }), options, async function* (offset: number) {
      from = offset;
      yield data.subarray(offset);
    });
    expect(from).toBe(500_000);
    await client.leases.delete({ id: "kept" });
  });

  test("leases of clients that were killed go at the next start, those of the living stay", async () => {
    const { ownerLabel } = await import("../../src/containerd/client/lease.ts");
    const { ownIdentity } = await import("../../src/containerd/client/owner.ts");
    const [pid, , namespace] = ownIdentity().split(" ");
    await client.leases.create({ id: "dead", labels: { [ownerLabel]: `${pid} 12345 ${namespace}` } });
    await client.leases.create({ id: "living", labels: { [ownerLabel]: ownIdentity() } });
    await client.leases.create({ id: "foreign" });
    await killAndRestart();
    const ids = (await client.leases.list({})).leases.map(({ id }) => id);
    expect(ids).toContain("living");
    expect(ids).toContain("foreign");
    expect(ids).not.toContain("dead");
    for (const id of ["living", "foreign"]) await client.leases.delete({ id });
  });
});
