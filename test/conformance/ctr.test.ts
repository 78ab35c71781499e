/** The real ctr (containerd 1.6) against our containerd: every verb of issue 2, point 7. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { printed, startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { type Output, run, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const needed = ["ctr", "docker-registry", "skopeo", "/bin/busybox"];
const test = requires(...needed);
let registry: TestRegistry;
let containerd: TestContainerd;

const ready = needed.every((program) => program.startsWith("/") || Bun.which(program));
beforeAll(async () => {
  if (!ready) return;
  registry = await startTestRegistry();
  containerd = await startContainerd();
  ok(await containerd.ctr("images", "pull", "--plain-http", registry.busybox));
});
afterAll(async () => {
  if (!ready) return;
  await registry[Symbol.asyncDispose]();
  await containerd[Symbol.asyncDispose]();
});

function ok(output: Output): string {
  if (output.code !== 0) throw new Error(`ended with ${output.code}: ${output.stderr}${output.stdout}`);
  return output.stdout;
}
const ctr = async (...argv: string[]) => ok(await containerd.ctr(...argv));
const said = async (...argv: string[]) => ok(await printed(() => containerd.ctr(...argv)));
/** A name that is this file's: the cgroup is by it, and by the namespace, which others use as well. */
const own = (name: string) => `${name}-${process.pid}`;
/** `ctr tasks ls` as id → status. */
const tasks = async () =>
  Object.fromEntries(
    (await ctr("tasks", "ls"))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(/\s+/))
      .map(([id, , status]) => [id, status]),
  );
const stopped = (id: string) => until(`the end of ${id}`, async () => (await tasks())[id] === "STOPPED");
const remove = async (id: string) => {
  await containerd.ctr("tasks", "kill", "-s", "9", id);
  await stopped(id);
  await containerd.ctr("tasks", "rm", id);
  await ctr("containers", "rm", id);
};

describe("the real ctr on our containerd", () => {
  test("version shows both sides", async () => {
    const text = await ctr("version");
    expect(text).toMatch(/Server:\n {2}Version: {2}1\.7\.0\+corten\./);
    expect(text).toMatch(/UUID: [0-9a-f-]{36}/);
  });

  test("namespaces ls, create, label and rm", async () => {
    await ctr("namespaces", "create", "shop", "team=blue");
    expect(await ctr("namespaces", "ls")).toMatch(/^shop +team=blue *$/m);
    await ctr("namespaces", "label", "shop", "team=red");
    expect(await ctr("namespaces", "ls")).toMatch(/^shop +team=red *$/m);
    await ctr("namespaces", "rm", "shop");
    expect(await ctr("namespaces", "ls")).not.toContain("shop");
  });

  test("images ls shows what was pulled, content ls and snapshots ls what it is made of", async () => {
    const line = (await ctr("images", "ls")).split("\n").find((text) => text.startsWith(registry.busybox));
    expect(line).toMatch(/application\/vnd\.oci\.image\.manifest\.v1\+json +sha256:[0-9a-f]{64} .*linux\//);
    const digest = line?.match(/sha256:[0-9a-f]{64}/)?.[0] ?? "none";
    const content = await ctr("content", "ls");
    expect(content).toContain(digest);
    expect(content).toContain("containerd.io/gc.ref.content.config=sha256:");
    expect(content).toContain("containerd.io/gc.ref.snapshot.overlayfs=sha256:");
    expect(await ctr("snapshots", "ls")).toMatch(/^sha256:[0-9a-f]{64} +Committed/m);
    expect(await ctr("content", "get", digest)).toContain('"schemaVersion":2');
    expect(await ctr("images", "check")).toMatch(/complete \(2\/2\).*true/);
  });

  test("images rm --sync leaves neither content nor snapshots, and a pull brings them back", async () => {
    const other = ["-n", "removal"];
    await ctr(...other, "images", "pull", "--plain-http", registry.busybox);
    await ctr(...other, "images", "rm", "--sync", registry.busybox);
    expect((await ctr(...other, "images", "ls", "-q")).trim()).toBe("");
    expect((await ctr(...other, "content", "ls", "-q")).trim()).toBe("");
    expect((await ctr(...other, "snapshots", "ls")).trim().split("\n").length).toBe(1);
    await ctr(...other, "images", "pull", "--plain-http", registry.busybox);
    expect(await said(...other, "run", "--rm", registry.busybox, own("again"), "echo", "back")).toBe(
      "back\n",
    );
  });

  test("four pulls of one image at the same time all succeed", async () => {
    const pulls = [1, 2, 3, 4].map(() =>
      ctr("-n", "crowd", "images", "pull", "--plain-http", registry.busybox),
    );
    await Promise.all(pulls);
    expect((await ctr("-n", "crowd", "images", "ls", "-q")).trim()).toBe(registry.busybox);
  });

  test("images push, tag and export give back the same image", async () => {
    const copy = `${registry.address}/copy:2`;
    await ctr("images", "tag", registry.busybox, copy);
    await ctr("images", "push", "--plain-http", copy);
    const inspected = await run(["skopeo", "inspect", "--tls-verify=false", `docker://${copy}`]);
    const archive = join(containerd.root, "export.tar");
    await ctr("images", "export", archive, copy);
    const digest = (await ctr("images", "ls", `name==${copy}`)).match(/sha256:[0-9a-f]{64}/)?.[0];
    expect(JSON.parse(ok(inspected)).Digest).toBe(digest!);
    expect(ok(await run(["tar", "tf", archive]))).toContain(`blobs/sha256/${digest!.slice(7)}`);
    await ctr("images", "rm", copy);
  });

  test("run --rm gives output, standard input and the exit code, and leaves nothing", async () => {
    expect(await said("run", "--rm", registry.busybox, own("hello"), "echo", "hi there")).toBe("hi there\n");
    const failed = await containerd.ctr("run", "--rm", registry.busybox, own("fails"), "sh", "-c", "exit 42");
    expect(failed.code).toBe(42);
    const piped = await printed(() =>
      run(["ctr", "-a", containerd.socket, "run", "--rm", registry.busybox, own("cat"), "cat"], {
        input: "through\n",
      }),
    );
    expect(piped.stdout).toBe("through\n");
    for (const list of ["tasks", "containers"])
      expect((await ctr(list, "ls", "-q")).trim()).not.toMatch(/hello|fails|cat/);
  });

  test("run of a missing program fails with the runtime's words", async () => {
    const { code, stderr } = await containerd.ctr("run", "--rm", registry.busybox, own("nope"), "/no/such");
    expect(code).not.toBe(0);
    expect(stderr).toContain("failed to create shim task: OCI runtime create failed");
    expect(stderr).toContain("/no/such");
    await containerd.ctr("containers", "rm", own("nope"));
    expect((await ctr("tasks", "ls", "-q")).trim()).not.toContain(own("nope"));
  });

  test("run -d, tasks ls, exec, ps, metrics, pause, resume, kill and rm", async () => {
    const web = own("web");
    const loop = 'trap "exit 7" TERM; while :; do sleep 0.05; done';
    await ctr("run", "-d", registry.busybox, web, "sh", "-c", loop);
    expect((await tasks())[web]).toBe("RUNNING");
    const twice = await containerd.ctr("tasks", "start", web);
    expect(twice.stderr).toContain("already exists");
    expect(await said("tasks", "exec", "--exec-id", "one", web, "echo", "inside")).toBe("inside\n");
    const code = await containerd.ctr("tasks", "exec", "--exec-id", "two", web, "sh", "-c", "exit 9");
    expect(code.code).toBe(9);
    const missing = await containerd.ctr("tasks", "exec", "--exec-id", "three", web, "/no/such");
    expect(missing.stderr).toContain("OCI runtime exec failed");
    expect(await ctr("tasks", "ps", web)).toMatch(/^\d+ +-/m);
    expect(await ctr("tasks", "metrics", web)).toMatch(/memory\.usage_in_bytes +[1-9]/);
    await ctr("tasks", "pause", web);
    expect((await tasks())[web]).toBe("PAUSED");
    await ctr("tasks", "resume", web);
    expect((await tasks())[web]).toBe("RUNNING");
    const running = await containerd.ctr("tasks", "rm", web);
    expect(running.stderr).toContain("task must be stopped before deletion");
    await ctr("tasks", "kill", web);
    await stopped(web);
    const removed = await containerd.ctr("tasks", "rm", web);
    expect(removed.stderr).toContain("exit with non-zero exit code 7");
    expect(await tasks()).not.toHaveProperty(web);
    await ctr("containers", "rm", web);
    expect(await ctr("snapshots", "ls")).not.toContain(web);
  });

  test("containers ls and info tell image, runtime and spec", async () => {
    await ctr("containers", "create", "--label", "a=b", registry.busybox, "made", "echo", "x");
    expect(await ctr("containers", "ls")).toMatch(
      new RegExp(`^made +${registry.busybox} +io\\.containerd\\.runc\\.v2`, "m"),
    );
    const info = JSON.parse(await ctr("containers", "info", "made"));
    expect(info.Labels.a).toBe("b");
    expect(info.Spec.process.args).toEqual(["echo", "x"]);
    expect(info.SnapshotKey).toBe("made");
    expect((await ctr("containers", "ls", "-q", "labels.a==b")).trim()).toBe("made");
    await ctr("containers", "label", "made", "a=c");
    expect(JSON.parse(await ctr("containers", "info", "made")).Labels.a).toBe("c");
    await ctr("containers", "rm", "made");
    const gone = await containerd.ctr("containers", "info", "made");
    expect(gone.stderr).toContain('container "made" in namespace "default": not found');
  });

  test("events tells a run from creation to deletion, in order", async () => {
    const child = spawn("ctr", ["-a", containerd.socket, "-n", "watched", "events", "namespace==watched"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (more: string) => {
      text += more;
    });
    try {
      const other = ["-n", "watched"];
      // The subscription needs its way: it stands once a namespace's label shows up.
      await until("the subscription", async () => {
        await containerd.ctr("namespaces", "create", "watched");
        await containerd.ctr("namespaces", "label", "watched", `now=${Date.now()}`);
        return text.includes("/namespaces/");
      });
      await ctr(...other, "images", "pull", "--plain-http", registry.busybox);
      await containerd.ctr(...other, "run", "--rm", registry.busybox, own("seen"), "sh", "-c", "exit 3");
      await until("the last event", () => text.includes("/containers/delete"));
    } finally {
      child.kill("SIGKILL");
    }
    const topics = text
      .split("\n")
      .map((line) => line.match(/ watched (\S+) /)?.[1] ?? "")
      .filter((topic) => /^\/(tasks|containers|images)/.test(topic));
    expect(topics).toEqual([
      "/images/create",
      "/containers/create",
      "/tasks/create",
      "/tasks/start",
      "/tasks/exit",
      "/tasks/delete",
      "/containers/delete",
    ]);
    expect(text).toMatch(/\/tasks\/exit .*"exit_status":3,"exited_at":"\d{4}-/);
  });

  test("a terminal is one for the container, and exec -t makes another", async () => {
    const term = (command: string) => run(["script", "-qec", command, "/dev/null"]);
    const base = `ctr -a ${containerd.socket}`;
    const ran = await term(`${base} run --rm -t ${registry.busybox} ${own("tty")} sh -c 'tty; echo done'`);
    expect(ran.stdout).toContain("/dev/pts/0");
    const host = own("ttyhost");
    await ctr("run", "-d", registry.busybox, host, "sleep", "1000");
    const exec = await term(`${base} tasks exec -t --exec-id t ${host} sh -c 'tty; echo done'`);
    expect(exec.stdout).toContain("/dev/pts/");
    await remove(host);
  });

  test("limits given to run reach the cgroup", async () => {
    const limit = 64 * 1024 * 1024;
    const small = own("small");
    await ctr("run", "-d", "--memory-limit", String(limit), registry.busybox, small, "sleep", "1000");
    expect(await ctr("tasks", "metrics", small)).toMatch(new RegExp(`memory\\.limit_in_bytes +${limit}`));
    await remove(small);
  });

  for (const [name, flags] of [
    ["runc", undefined],
    ["runsc", "--platform=ptrace --network=none --ignore-cgroups"],
    ["crun", undefined],
  ] as const) {
    // crun 1.8 refuses a hybrid hierarchy whose cgroup2 side has controllers, whoever calls it.
    const hybrid = () => {
      try {
        return readFileSync("/sys/fs/cgroup/unified/cgroup.controllers", "utf8").trim() !== "";
      } catch {
        return false;
      }
    };
    const possible =
      name === "crun" && hybrid() ? requires("/cgroup2-without-controllers") : requires(...needed, name);
    possible(`run --runc-binary ${name} runs on the real ${name}`, async () => {
      let binary: string = name;
      if (flags) {
        binary = join(containerd.root, name);
        writeFileSync(binary, `#!/bin/sh\nexec ${name} ${flags} "$@"\n`, { mode: 0o755 });
      }
      const id = own(`by-${name}`);
      await ctr("run", "-d", "--runc-binary", binary, registry.busybox, id, "sleep", "1000");
      expect((await tasks())[id]).toBe("RUNNING");
      expect(await said("tasks", "exec", "--exec-id", "e", id, "echo", "foreign")).toBe("foreign\n");
      const code = await containerd.ctr("tasks", "exec", "--exec-id", "f", id, "sh", "-c", "exit 4");
      expect(code.code).toBe(4);
      await remove(id);
      const output = await said(
        "run",
        "--rm",
        "--runc-binary",
        binary,
        registry.busybox,
        `${id}2`,
        "echo",
        "hi",
      );
      expect(output).toBe("hi\n");
    });
  }
});
