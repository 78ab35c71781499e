/** `runc checkpoint` and `restore`. What needs no CRIU runs everywhere; the rest where one works (test/helpers/criu.ts). */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bundle, cgroupExists, makeBundle } from "../helpers/bundle.ts";
import { failingCriu, withCriu, workingCriu } from "../helpers/criu.ts";
import { until } from "../helpers/engine.ts";

let bundle: Bundle;
beforeEach(() => {
  bundle = makeBundle();
});
afterEach(async () => {
  const { cgroup } = bundle;
  await bundle[Symbol.asyncDispose]();
  expect(cgroupExists(cgroup)).toBe(false);
});

const counter =
  "n=0; while [ ! -e /tmp/end ]; do n=$((n+1)); echo $n >/tmp/new; mv /tmp/new /tmp/count; sleep 0.1; done; exit 7";
const file = (name: string) => join(bundle.directory, name);
const count = () => {
  const path = join(bundle.rootfs, "tmp/count");
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
};
const beyond = (number: number) => until(`the count to be beyond ${number}`, () => count() > number);
const status = async () => JSON.parse((await bundle.runc("state", bundle.id)).stdout).status as string;

/** Starts a container that counts, with its output going nowhere. */
async function counting(): Promise<void> {
  bundle.configure(["sh", "-c", `exec >/dev/null 2>&1; ${counter}`]);
  // For `mv`, which the bundle's busybox has no link for.
  writeFileSync(join(bundle.rootfs, "bin/mv"), '#!/bin/busybox sh\nexec /bin/busybox mv "$@"\n', {
    mode: 0o755,
  });
  const started = await bundle.runc("run", "-d", bundle.id);
  expect([started.code, started.stderr]).toEqual([0, ""]);
  await beyond(2);
}
const criu = (...argv: string[]) => bundle.runc("--criu", workingCriu!, ...argv);

test("without criu both verbs say what is missing, and nothing has happened", async () => {
  await counting();
  const missing = file("nowhere/criu");
  const checkpoint = await bundle.runc("--criu", missing, "checkpoint", "--image-path", "images", bundle.id);
  expect([checkpoint.code, checkpoint.stderr]).toEqual([
    1,
    expect.stringContaining(`checkpoint and restore need the program ${missing}, which is not`),
  ]);
  expect(await status()).toBe("running");
  mkdirSync(file("images"));
  const restore = await bundle.runc(
    "--criu",
    missing,
    "restore",
    "-d",
    "--image-path",
    "images",
    `${bundle.id}-2`,
  );
  expect([restore.code, restore.stderr]).toEqual([1, expect.stringContaining("install the package criu")]);
  expect((await bundle.runc("list", "-q")).stdout).toBe(`${bundle.id}\n`);
});

test("a checkpoint that fails leaves the container running, and a restore that fails leaves nothing", async () => {
  const broken = failingCriu(bundle.directory);
  await counting();
  const checkpoint = await bundle.runc("--criu", broken, "checkpoint", "--image-path", "images", bundle.id);
  expect([checkpoint.code, checkpoint.stderr]).toEqual([
    1,
    expect.stringContaining("criu ended without an answer"),
  ]);
  expect(await status()).toBe("running");
  await beyond(count());
  const restore = await bundle.runc(
    "--criu",
    broken,
    "restore",
    "-d",
    "--image-path",
    "images",
    `${bundle.id}-2`,
  );
  expect([restore.code, restore.stderr]).toEqual([
    1,
    expect.stringContaining("criu ended without an answer"),
  ]);
  expect(readdirSync(bundle.root)).toEqual([bundle.id]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("criu-root");
});

test("what is asked for is checked before anything is done", async () => {
  await counting();
  const refused = async (...argv: string[]) =>
    (await bundle.runc("--criu", failingCriu(bundle.directory), "checkpoint", ...argv, bundle.id)).stderr;
  expect(await refused("--parent-path", "/absolute")).toContain("--parent-path must be relative");
  expect(await refused("--parent-path", "../none")).toContain("invalid --parent-path");
  expect(await refused("--page-server", "nowhere")).toContain("Use --page-server ADDRESS:PORT");
  expect(await refused("--manage-cgroups-mode", "odd")).toContain("invalid manage-cgroups-mode value");
  expect(await refused("--empty-ns", "mount")).toContain('namespace \\"mount\\" is not supported');
  bundle.configure(["sleep", "600"]);
  const created = `${bundle.id}-2`;
  expect((await bundle.runc("create", created)).code).toBe(0);
  expect((await bundle.runc("checkpoint", created)).stderr).toContain(
    "Container cannot be checkpointed in created state",
  );
});

withCriu("a restored container goes on from where it was, and is one like any other", async () => {
  await counting();
  const saved = await criu("checkpoint", "--image-path", "images", "--work-path", "work", bundle.id);
  expect([saved.code, saved.stderr]).toEqual([0, ""]);
  expect(readdirSync(bundle.root)).toEqual([]);
  expect(cgroupExists(bundle.cgroup)).toBe(false);
  const before = count();
  writeFileSync(join(bundle.rootfs, "tmp/count"), "0");
  const restored = await criu("restore", "-d", "--pid-file", "pid", "--image-path", "images", bundle.id);
  expect([restored.code, restored.stderr]).toEqual([0, ""]);
  await beyond(before);
  const { pid, status: now } = JSON.parse((await bundle.runc("state", bundle.id)).stdout);
  expect([now, readFileSync(file("pid"), "utf8")]).toEqual(["running", String(pid)]);
  expect((await bundle.runc("exec", bundle.id, "cat", "/proc/1/comm")).stdout).toBe("sh\n");
  expect((await bundle.runc("pause", bundle.id)).code).toBe(0);
  expect(await status()).toBe("paused");
  expect((await bundle.runc("resume", bundle.id)).code).toBe(0);
  writeFileSync(join(bundle.rootfs, "tmp/end"), "");
  await until("its end", async () => (await status()) === "stopped");
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("criu-root");
});

withCriu(
  "a checkpoint can leave it running, also while it is paused, and is restored as often as asked",
  async () => {
    await counting();
    expect((await criu("checkpoint", "--leave-running", "--image-path", "one", bundle.id)).stderr).toBe("");
    await beyond(count());
    expect((await bundle.runc("pause", bundle.id)).code).toBe(0);
    expect((await criu("checkpoint", "--leave-running", "--image-path", "two", bundle.id)).stderr).toBe("");
    expect(await status()).toBe("paused");
    expect((await bundle.runc("delete", "-f", bundle.id)).code).toBe(0);
    for (const images of ["one", "two", "one"]) {
      expect((await criu("restore", "-d", "--image-path", images, bundle.id)).stderr).toBe("");
      writeFileSync(join(bundle.rootfs, "tmp/count"), "0");
      await beyond(2);
      expect((await bundle.runc("delete", "-f", bundle.id)).code).toBe(0);
    }
  },
);

withCriu(
  "in the foreground a restore passes output and the status on, and removes the container",
  async () => {
    bundle.configure([
      "sh",
      "-c",
      "echo first; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo last; exit 7",
    ]);
    // Its output must be pipes: files of the host are nothing that CRIU can open again.
    const first = Bun.spawn(
      ["sh", "-c", '"$@" | cat', "sh", ...bundle.command, "--root", bundle.root, "run", "-d", bundle.id],
      {
        cwd: bundle.directory,
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await until("the container", async () => (await bundle.runc("state", bundle.id)).code === 0);
    expect((await criu("checkpoint", "--image-path", "images", bundle.id)).stderr).toBe("");
    expect(await first.stdout.text()).toBe("first\n");
    writeFileSync(join(bundle.rootfs, "tmp/end"), "");
    expect(await criu("restore", "--image-path", "images", bundle.id)).toEqual({
      code: 7,
      stdout: "last\n",
      stderr: "",
    });
    expect(readdirSync(bundle.root)).toEqual([]);
  },
);

withCriu("the real runc restores what ours has saved, and ours what it has", async () => {
  if (!Bun.which("runc")) return;
  await using peer = makeBundle(["runc"]);
  for (const [from, to] of [
    [bundle, peer],
    [peer, bundle],
  ] as const) {
    from.configure(["sh", "-c", "exec >/dev/null 2>&1; exec sleep 600"]);
    expect((await from.runc("run", "-d", from.id)).code).toBe(0);
    const images = join(from.directory, "images");
    const flags = ["--criu", workingCriu!];
    expect((await from.runc(...flags, "checkpoint", "--image-path", images, from.id)).code).toBe(0);
    const bundlePath = ["--bundle", from.directory];
    expect(
      (await to.runc(...flags, "restore", "-d", ...bundlePath, "--image-path", images, to.id)).code,
    ).toBe(0);
    expect((await to.runc("exec", to.id, "cat", "/proc/1/comm")).stdout).toBe("sleep\n");
    expect((await to.runc("delete", "-f", to.id)).code).toBe(0);
  }
});
