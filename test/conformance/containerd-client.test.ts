/** Our client and our ctr on the real containerd, and on ours: the same words, the same results. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import type { CortenError } from "../../src/base/errors.ts";
import {
  type ContainerdClient,
  pull,
  push,
  readBlob,
  readImage,
  unpack,
} from "../../src/containerd/client/index.ts";
import { createResolver } from "../../src/registry/index.ts";
import { startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { type Output, run } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const needed = [
  "ctr",
  "containerd",
  "runc",
  "containerd-shim-runc-v2",
  "docker-registry",
  "skopeo",
  "/bin/busybox",
];
const test = requires(...needed);
const ready = needed.every((program) => program.startsWith("/") || Bun.which(program));

function ok(output: Output): string {
  if (output.code !== 0) throw new Error(`ended with ${output.code}: ${output.stderr}${output.stdout}`);
  return output.stdout;
}

/** What a call fails with. (`expect().rejects` holds Bun's event loop up, and the answer with it.) */
async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("did not fail");
}

for (const kind of ["debian", "corten"] as const) {
  describe(`our client on ${kind === "debian" ? "the real" : "our"} containerd`, () => {
    let registry: TestRegistry;
    let containerd: TestContainerd;
    beforeAll(async () => {
      if (!ready) return;
      registry = await startTestRegistry();
      containerd = await startContainerd(kind);
    });
    afterAll(async () => {
      if (!ready) return;
      await registry[Symbol.asyncDispose]();
      await containerd[Symbol.asyncDispose]();
    });
    const ctr = async (...argv: string[]) => ok(await containerd.ctr(...argv));
    const ours = async (...argv: string[]) => ok(await containerd.cortenCtr(...argv));

    test("pull brings content, snapshots and record, and reports every state of a layer", async () => {
      const client = await containerd.client("pulling");
      const resolver = createResolver({ plainHttp: true });
      const states: string[] = [];
      const { image, content, changed } = await pull(client, {
        ref: registry.busybox,
        resolver,
        onProgress: ({ status }) => {
          if (states.at(-1) !== status) states.push(status);
        },
      });
      expect(changed).toBe(true);
      expect(image.name).toBe(registry.busybox);
      expect(states).toEqual([
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
      ]);
      expect(content.chainIds.at(-1)).toBe(content.diffIds[0]!);
      const again = await pull(client, { ref: registry.busybox, resolver });
      expect(again.changed).toBe(false);
      expect((await client.leases.list({})).leases).toEqual([]);
      // The real client finds everything in place.
      expect(await ctr("-n", "pulling", "images", "check")).toMatch(/complete \(2\/2\).*true/);
    });

    test("a pulled image can be read, removed and collected, pulled without unpacking, and unpacked later", async () => {
      const client = await containerd.client("lifecycle");
      const resolver = createResolver({ plainHttp: true });
      const { content } = await pull(client, { ref: registry.busybox, resolver, snapshotter: false });
      expect((await readImage(client, content.target)).config.rootfs.diff_ids).toEqual(content.diffIds);
      const key = content.chainIds.at(-1)!;
      const snapshotter = "overlayfs";
      expect(await failure(client.snapshots.stat({ snapshotter, key }))).toHaveProperty(
        "message",
        expect.stringContaining("does not exist"),
      );
      await unpack(client, content.target);
      expect((await client.snapshots.stat({ snapshotter, key })).info?.name).toBe(key);
      await client.images.delete({ name: registry.busybox, sync: true });
      expect(await failure(readBlob(client, content.manifest.config.digest))).toHaveProperty(
        "message",
        expect.stringContaining("not found"),
      );
      expect(await failure(client.snapshots.stat({ snapshotter, key }))).toHaveProperty(
        "message",
        expect.stringContaining("does not exist"),
      );
    });

    test("push writes what was pulled to another name", async () => {
      const client = await containerd.client("pushing");
      const resolver = createResolver({ plainHttp: true });
      const { content } = await pull(client, { ref: registry.busybox, resolver });
      const ref = `${registry.address}/pushed-${kind}:1`;
      const states: string[] = [];
      const pushed = await push(client, {
        ref,
        image: registry.busybox,
        resolver,
        onProgress: ({ status }) => void states.push(status),
      });
      expect(pushed.digest).toBe(content.target.digest);
      expect(states[0]).toBe("Preparing");
      expect(["Pushed", "Mounted from", "Layer already exists"]).toContain(states.at(-1)!);
      const seen = ok(await run(["skopeo", "inspect", "--tls-verify=false", `docker://${ref}`]));
      expect(JSON.parse(seen).Digest).toBe(content.target.digest);
    });

    test("our ctr runs, execs, kills and removes, and prints what the real one prints", async () => {
      const same = async (...argv: string[]) => expect(await ours(...argv)).toBe(await ctr(...argv));
      // The real shim keeps its runtime's state in one place for the whole machine, by namespace.
      const shop = `shop-${kind}-${process.pid}`;
      const inShop = (...argv: string[]): string[] => ["-n", shop, ...argv];
      await ours(...inShop("images", "pull", "--plain-http", registry.busybox));
      await same(...inShop("images", "ls"));
      await same(...inShop("images", "ls", "-q", "name~=busybox"));
      await same(...inShop("snapshots", "ls"));
      await same(...inShop("namespaces", "ls"));
      expect(await ours(...inShop("run", "--rm", registry.busybox, "one", "echo", "hi"))).toBe("hi\n");
      const piped = await run(
        [...ctrCommand(containerd), "-n", shop, "run", "--rm", registry.busybox, "two", "cat"],
        { input: "through\n" },
      );
      expect(piped.stdout).toBe("through\n");
      const failing = await containerd.cortenCtr(
        ...inShop("run", "--rm", registry.busybox, "three", "sh", "-c", "echo no >&2; exit 3"),
      );
      expect(failing).toEqual({ code: 3, stdout: "", stderr: "no\n" });
      await ours(...inShop("run", "-d", "--label", "a=b", registry.busybox, "web", "sleep", "1000"));
      await same(...inShop("tasks", "ls"));
      await same(...inShop("containers", "ls"));
      await same(...inShop("containers", "ls", "-q"));
      const info = JSON.parse(await ours(...inShop("containers", "info", "web")));
      const theirs = JSON.parse(await ctr(...inShop("containers", "info", "web")));
      expect(info.Spec.process.args).toEqual(theirs.Spec.process.args);
      expect({ ...info, Spec: 0, CreatedAt: 0, UpdatedAt: 0 }).toEqual({
        ...theirs,
        Spec: 0,
        CreatedAt: 0,
        UpdatedAt: 0,
      });
      expect(await ours(...inShop("tasks", "exec", "--exec-id", "e", "web", "echo", "in"))).toBe("in\n");
      const code = await containerd.cortenCtr(
        ...inShop("tasks", "exec", "--exec-id", "f", "web", "sh", "-c", "exit 9"),
      );
      expect(code.code).toBe(9);
      const running = await containerd.cortenCtr(...inShop("tasks", "rm", "web"));
      expect(running.code).toBe(1);
      expect(running.stderr).toContain("task must be stopped before deletion: running");
      await ours(...inShop("tasks", "kill", "-s", "KILL", "web"));
      const client = await containerd.client(shop);
      expect((await client.tasks.wait({ containerId: "web" })).exitStatus).toBe(137);
      await same(...inShop("tasks", "ls"));
      const removed = await containerd.cortenCtr(...inShop("tasks", "rm", "web"));
      expect(removed.stderr).toContain("exit with non-zero exit code 137");
      await ours(...inShop("containers", "rm", "web"));
      await same(...inShop("containers", "ls"));
      await ours(...inShop("images", "rm", "--sync", registry.busybox));
      await same(...inShop("content", "ls"));
      await same(...inShop("snapshots", "ls"));
      expect(await ours("version")).toContain("Server:\n  Version:");
    });
  });
}

describe("errors of the two containerds", () => {
  test("are the same, code and text", async () => {
    if (!ready) return;
    const told = [];
    for (const kind of ["debian", "corten"] as const) {
      await using containerd = await startContainerd(kind);
      told.push(await errorsOf(await containerd.client("errs")));
    }
    expect(told[1]).toEqual(told[0]!);
    expect(told[0]).toContain('containers.get not_found container "x" in namespace "errs": not found');
  });
});

/** What a daemon answers to mistakes of every kind. */
async function errorsOf(client: ContainerdClient): Promise<string[]> {
  const answers: string[] = [];
  const tell = async (what: string, work: Promise<unknown>) => {
    const error = await work.then(
      () => "OK",
      (error: CortenError) => `${error.code} ${error.message}`,
    );
    answers.push(`${what} ${error}`);
  };
  const runtime = { name: "io.containerd.runc.v2" };
  const spec = { typeUrl: "x", value: new Uint8Array(3) };
  const zero = `sha256:${"0".repeat(64)}`;
  const snapshotter = "overlayfs";
  const { containers, namespaces, leases, tasks, images, content, snapshots } = client;
  await tell("containers.create", containers.create({ container: { id: "a/b", runtime } }));
  await tell("containers.create", containers.create({ container: { id: "ab", runtime } }));
  await tell("containers.create", containers.create({ container: { id: "ab", spec } }));
  const keyed = { id: "ab", spec, runtime, snapshotKey: "k" };
  await tell("containers.create", containers.create({ container: keyed }));
  await tell("containers.create", containers.create({ container: { id: "abc", runtime, spec } }));
  await tell("containers.create", containers.create({ container: { id: "abc", runtime, spec } }));
  await tell("containers.get", containers.get({ id: "x" }));
  await tell("containers.update", containers.update({ container: { id: "zzz" } }));
  await tell("containers.delete", containers.delete({ id: "x" }));
  await tell("namespaces.get", namespaces.get({ name: "never" }));
  await tell("namespaces.delete", namespaces.delete({ name: "never" }));
  await tell("leases.delete", leases.delete({ id: "none" }));
  await tell("leases.create", leases.create({ id: "one" }));
  await tell("leases.create", leases.create({ id: "one" }));
  await tell("leases.delete", leases.delete({ id: "none" }));
  await tell("leases.add", leases.addResource({ id: "one", resource: { id: "x", type: "socks" } }));
  await tell("leases.add", leases.addResource({ id: "no", resource: { id: zero, type: "content" } }));
  await tell("tasks.get", tasks.get({ containerId: "x" }));
  await tell("tasks.get", tasks.get({ containerId: "abc" }));
  await tell("tasks.start", tasks.start({ containerId: "abc" }));
  await tell("tasks.kill", tasks.kill({ containerId: "abc", signal: 9 }));
  await tell("images.create", images.create({ image: { name: "" } }));
  const target = { digest: zero, size: 10n, mediaType: "x" };
  await tell("images.create", images.create({ image: { name: "x", target: { ...target, size: 0n } } }));
  await tell("images.create", images.create({ image: { name: "x", target: { ...target, mediaType: "" } } }));
  await tell("images.create", images.create({ image: { name: "x", target } }));
  await tell("images.create", images.create({ image: { name: "x", target } }));
  await tell("images.get", images.get({ name: "zzz" }));
  await tell("images.delete", images.delete({ name: "zzz" }));
  await tell("content.info", content.info({ digest: zero }));
  await tell("content.info", content.info({ digest: "nope" }));
  await tell("content.delete", content.delete({ digest: zero }));
  await tell("content.status", content.status({ ref: "zzz" }));
  await tell("content.abort", content.abort({ ref: "zzz" }));
  await tell("snapshots.stat", snapshots.stat({ snapshotter, key: "zzz" }));
  await tell("snapshots.remove", snapshots.remove({ snapshotter, key: "zzz" }));
  await tell("snapshots.mounts", snapshots.mounts({ snapshotter, key: "zzz" }));
  await tell("snapshots.prepare", snapshots.prepare({ snapshotter, key: "zzz", parent: "yyy" }));
  const root = { "containerd.io/gc.root": "now" };
  await tell("snapshots.prepare", snapshots.prepare({ snapshotter, key: "zzz", labels: root }));
  await tell("snapshots.prepare", snapshots.prepare({ snapshotter, key: "zzz", labels: root }));
  await tell("snapshots.commit", snapshots.commit({ snapshotter, key: "none", name: "x" }));
  await tell("snapshots.stat", snapshots.stat({ snapshotter: "zfs9", key: "zzz" }));
  const leased = client.with({ lease: "nope" });
  await tell("with a lease that is none", leased.snapshots.prepare({ snapshotter, key: "leased" }));
  await tell("without namespace", client.with({ namespace: "" }).containers.list({}));
  await tell("with a bad namespace", client.with({ namespace: "a/b" }).containers.list({}));
  await tell("namespaces.delete", namespaces.delete({ name: "errs" }));
  await tell("events.publish", client.events.publish({ topic: "x" }));
  await snapshots.remove({ snapshotter, key: "zzz" });
  return answers;
}

function ctrCommand(containerd: TestContainerd): string[] {
  return [...containerd.cortenCommand, "ctr", "--address", containerd.socket];
}
