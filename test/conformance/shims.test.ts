/** Others' shims under our containerd: Debian's containerd-shim-runc-v2 by ctr, by our dockerd and by CRI. */
import { expect, setDefaultTimeout } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { printed, startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { startCri } from "../helpers/cri.ts";
import { corten, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const shim = "/usr/bin/containerd-shim-runc-v2";
const test = requires(shim, "ctr", "runc", "docker-registry", "skopeo", "/bin/busybox");

function ok(output: Output): string {
  if (output.code !== 0) throw new Error(`ended with ${output.code}: ${output.stderr}${output.stdout}`);
  return output.stdout;
}

/** Processes of the shim's program for one containerd, by the id they were started with. */
function shimsOf(address: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      const id = words[words.indexOf("-id") + 1];
      if (words[0]?.includes("containerd-shim-runc-v2") && words.includes(address) && id)
        found.set(id, Number(pid));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** A name that is this file's: the cgroup is by it, and by the namespace, which others use as well. */
const own = (name: string) => `${name}-${process.pid}`;

async function pulled(containerd: TestContainerd, registry: TestRegistry) {
  const ctr = async (...argv: string[]) => ok(await containerd.ctr(...argv));
  await ctr("images", "pull", "--plain-http", registry.busybox);
  return ctr;
}

const statuses = async (ctr: (...argv: string[]) => Promise<string>) =>
  Object.fromEntries(
    (await ctr("tasks", "ls"))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(/\s+/))
      .map(([id, , status]) => [id, status]),
  );

test("ctr runs, execs, pauses, counts and removes with the real shim under our containerd", async () => {
  await using registry = await startTestRegistry();
  await using containerd = await startContainerd(
    "corten",
    '[plugins."io.containerd.shim.v1.manager"]\nexternal_runtimes = ["io.containerd.runc.v2"]\nenv = ["CORTEN_TEST=1"]\n',
  );
  const ctr = await pulled(containerd, registry);
  const image = registry.busybox;
  // By its name, as the configuration says, and by its path.
  for (const runtime of [[], ["--runtime", shim]]) {
    expect(
      ok(await printed(() => containerd.ctr("run", "--rm", ...runtime, image, own("once"), "echo", "hello"))),
    ).toBe("hello\n");
    expect(
      (await containerd.ctr("run", "--rm", ...runtime, image, own("fails"), "sh", "-c", "exit 42")).code,
    ).toBe(42);
  }
  const web = own("web");
  const loop = 'trap "exit 7" TERM; while :; do sleep 0.05; done';
  await ctr("run", "-d", "--memory-limit", "67108864", image, web, "sh", "-c", loop);
  const pid = shimsOf(containerd.socket).get(web) ?? 0;
  expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain("CORTEN_TEST=1");
  expect(JSON.parse(await ctr("shim", "--id", web, "state")).id).toBe(web);
  expect(
    ok(await printed(() => containerd.ctr("tasks", "exec", "--exec-id", "one", web, "echo", "inside"))),
  ).toBe("inside\n");
  expect((await containerd.ctr("tasks", "exec", "--exec-id", "two", web, "sh", "-c", "exit 9")).code).toBe(9);
  const term = `ctr -a ${containerd.socket} tasks exec -t --exec-id three ${web} sh -c 'tty; echo done'`;
  expect((await run(["script", "-qec", term, "/dev/null"])).stdout).toContain("/dev/pts/");
  expect(await ctr("tasks", "ps", web)).toMatch(/^\d+ +-/m);
  expect(await ctr("tasks", "metrics", web)).toMatch(/memory\.limit_in_bytes +67108864/);
  await ctr("tasks", "pause", web);
  expect((await statuses(ctr))[web]).toBe("PAUSED");
  await ctr("tasks", "resume", web);
  await ctr("tasks", "kill", web);
  await until("the end of web", async () => (await statuses(ctr))[web] === "STOPPED");
  expect((await containerd.ctr("tasks", "rm", web)).stderr).toContain("exit with non-zero exit code 7");
  await ctr("containers", "rm", web);
  await until("the end of the shims", () => shimsOf(containerd.socket).size === 0);
  const wrong = await containerd.ctr("run", "--rm", image, own("wrong"), "/no/such");
  expect(wrong.stderr).toContain("failed to create shim task: OCI runtime create failed");
  const missing = await containerd.ctr(
    "run",
    "--rm",
    "--runtime",
    "io.containerd.kata.v2",
    image,
    own("kata"),
    "true",
  );
  expect(missing.stderr).toMatch(
    /runtime "io\.containerd\.kata\.v2" binary not installed "containerd-shim-kata-v2": file does not exist \(looked in \//,
  );
  expect(readdirSync(join(containerd.root, "run/io.containerd.runtime.v2.task/default"))).toEqual([]);
});

test("kill -9 of the real shim: the exit is told, the container ends, nothing is left", async () => {
  await using registry = await startTestRegistry();
  await using containerd = await startContainerd();
  const ctr = await pulled(containerd, registry);
  const events = spawn("ctr", ["-a", containerd.socket, "events"], { stdio: ["ignore", "pipe", "ignore"] });
  let seen = "";
  events.stdout.setEncoding("utf8").on("data", (text: string) => {
    seen += text;
  });
  try {
    const victim = own("victim");
    await ctr("run", "-d", "--runtime", shim, registry.busybox, victim, "sleep", "1000");
    await until("the start's event", async () => {
      // The subscription needs its way.
      await ctr("namespaces", "label", "default", `now=${Date.now()}`);
      return seen.includes("/namespaces/");
    });
    const client = await containerd.client();
    const waiting = client.tasks.wait({ containerId: victim });
    const { process: before } = await client.tasks.get({ containerId: victim });
    process.kill(shimsOf(containerd.socket).get(victim) ?? 0, "SIGKILL");
    expect((await waiting).exitStatus).toBe(137);
    await until("the events", () => seen.includes("/tasks/delete"));
    expect(seen).toMatch(/\/tasks\/exit .*"exit_status":137/);
    expect(await statuses(ctr)).toEqual({});
    await until("the container's end", () => !readdirSync("/proc").includes(String(before?.pid)));
    await ctr("containers", "rm", victim);
  } finally {
    events.kill("SIGKILL");
  }
});

test("kill -9 of our containerd under load: shims and exit codes are found again, the half made removed", async () => {
  await using registry = await startTestRegistry();
  await using containerd = await startContainerd();
  const ctr = await pulled(containerd, registry);
  const ids = [1, 2, 3, 4, 5, 6].map((number) => own(`job${number}`));
  // Each ends by itself, with a code of its own, at some moment around the kills.
  const detached = ["run", "-d", "--null-io", "--runtime", shim, registry.busybox];
  await Promise.all(
    ids.map((id, at) => ctr(...detached, id, "sh", "-c", `sleep 0.${at + 3}; exit ${at + 10}`)),
  );
  await ctr(...detached, own("stays"), "sleep", "1000");
  // Starts are cut off wherever they are.
  const cut = [7, 8, 9].map((number) => containerd.ctr(...detached, own(`cut${number}`), "sleep", "1000"));
  await containerd.restart();
  await Promise.all(cut);
  await containerd.restart();
  const client = await containerd.client();
  const codes = await Promise.all(
    ids.map(async (containerId) => (await client.tasks.wait({ containerId })).exitStatus),
  );
  expect(codes).toEqual([10, 11, 12, 13, 14, 15]);
  expect(
    ok(
      await printed(() =>
        containerd.ctr("tasks", "exec", "--exec-id", "e", own("stays"), "echo", "still here"),
      ),
    ),
  ).toBe("still here\n");
  for (const [id, status] of Object.entries(await statuses(ctr))) {
    if (status === "RUNNING" || status === "CREATED") await containerd.ctr("tasks", "kill", "-s", "9", id);
    await until(`the end of ${id}`, async () => (await statuses(ctr))[id] === "STOPPED");
    await containerd.ctr("tasks", "rm", id);
  }
  expect(await statuses(ctr)).toEqual({});
  await until("the end of the shims", () => shimsOf(containerd.socket).size === 0);
  expect(readdirSync(join(containerd.root, "run/io.containerd.runtime.v2.task/default"))).toEqual([]);
});

test("our dockerd on the real shim: streams, terminal, limits, exec, logs, pause, restart of the daemon, death of the shim", async () => {
  await using registry = await startTestRegistry();
  await using engine = await startEngine(["--add-runtime", `shim=${shim}`]);
  const docker = async (...argv: string[]) => ok(await engine.docker(...argv));
  await docker("pull", registry.busybox);
  const flags = ["--runtime", "shim", "--network", "none"];
  expect(await docker("run", "--rm", ...flags, registry.busybox, "echo", "hello")).toBe("hello\n");
  expect((await engine.docker("run", "--rm", ...flags, registry.busybox, "sh", "-c", "exit 42")).code).toBe(
    42,
  );
  const piped = await run(
    [
      "docker",
      "-H",
      engine.host,
      "run",
      "--rm",
      "-i",
      ...flags,
      registry.busybox,
      "sh",
      "-c",
      "cat; echo end",
    ],
    { input: "through\n" },
  );
  expect(piped.stdout).toBe("through\nend\n");
  const term = `docker -H ${engine.host} run --rm -t ${flags.join(" ")} ${registry.busybox} tty`;
  expect((await run(["script", "-qec", term, "/dev/null"])).stdout).toContain("/dev/pts/0");
  const memory = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
  await docker(
    "run",
    "-d",
    "--name",
    "job",
    "-m",
    "64m",
    ...flags,
    registry.busybox,
    "sh",
    "-c",
    `cat ${memory} 2>/dev/null || echo 67108864; trap 'exit 5' TERM; while :; do sleep 0.1; done`,
  );
  await until("the line to be logged", async () => (await docker("logs", "job")) === "67108864\n");
  expect(await docker("exec", "job", "echo", "from exec")).toBe("from exec\n");
  const through = ["docker", "-H", engine.host, "exec", "-i", "job", "cat"];
  expect((await run(through, { input: "exec stdin" })).stdout).toBe("exec stdin");
  await docker("pause", "job");
  expect(await docker("inspect", "-f", "{{.State.Status}}", "job")).toBe("paused\n");
  await docker("unpause", "job");
  expect(await docker("stats", "--no-stream", "--format", "{{.MemUsage}}", "job")).toMatch(/\/ 64MiB/);
  expect(await docker("top", "job")).toContain("sleep 0.1");
  await engine.restart();
  expect(await docker("exec", "job", "echo", "after the restart")).toBe("after the restart\n");
  await docker("stop", "job");
  expect(await docker("inspect", "-f", "{{.State.ExitCode}}", "job")).toBe("5\n");
  await docker("start", "job");
  const id = (await docker("inspect", "-f", "{{.Id}}", "job")).trim();
  process.kill(shimsOf(join(engine.root, "run/containerd/containerd.sock")).get(id) ?? 0, "SIGKILL");
  await until(
    "the end to be seen",
    async () =>
      (await docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "job")) === "exited 137\n",
  );
  await docker("rm", "job");
  const kata = await engine.docker(
    "run",
    "--rm",
    "--runtime",
    "io.containerd.kata.v2",
    registry.busybox,
    "true",
  );
  expect(kata.stderr).toMatch(/binary not installed .*containerd-shim-kata-v2/);
});

test("daemon.json's options reach the real shim: it runs our runc", async () => {
  await using registry = await startTestRegistry();
  const directory = mkdtempSync(join(tmpdir(), "corten-shims-"));
  try {
    const runc = join(directory, "runc");
    writeFileSync(runc, `#!/bin/sh\necho "$@" >>${directory}/calls\nexec ${corten.join(" ")} runc "$@"\n`, {
      mode: 0o755,
    });
    const file = join(directory, "daemon.json");
    const options = { BinaryName: runc, Root: join(directory, "state") };
    writeFileSync(file, JSON.stringify({ runtimes: { both: { runtimeType: shim, options } } }));
    await using engine = await startEngine(["--config-file", file]);
    ok(await engine.docker("pull", registry.busybox));
    const flags = ["run", "--rm", "--runtime", "both", "--network", "none", registry.busybox];
    expect(ok(await engine.docker(...flags, "echo", "hello"))).toBe("hello\n");
    const calls = readFileSync(join(directory, "calls"), "utf8");
    expect(calls).toContain(`--root ${directory}/state/moby`);
    expect(calls).toMatch(/ create .*--bundle/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("CRI: a pod and its containers in one real shim, by a runtime handler", async () => {
  await using cri = await startCri(
    "corten",
    `  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.real]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = "${shim}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
    runtime_type = "io.containerd.kata.v2"
`,
  );
  await cri.ok("pull", cri.busybox);
  const file = cri.podFile("one");
  const id = await cri.ok("runp", "-r", "real", file);
  const pod = { id, file };
  const first = await cri.container(pod, "first", ["sh", "-c", "echo logged; exec sleep 1000"]);
  await cri.container(pod, "second", ["sleep", "1000"]);
  expect(await cri.ok("exec", "-s", first, "echo", "inside")).toContain("inside");
  await until("the log", async () => (await cri.ok("logs", first)).includes("logged"));
  expect(await cri.ok("stats", first)).toContain("first");
  expect([...shimsOf(cri.socket).values()].length).toBe(1);
  await cri.restart();
  expect(await cri.ok("exec", "-s", first, "echo", "again")).toContain("again");
  await cri.ok("stop", "-t", "0", first);
  expect(JSON.parse(await cri.ok("inspect", first)).status.exitCode).toBe(137);
  await cri.ok("stopp", id);
  await cri.ok("rmp", id);
  await until("the end of the shim", () => shimsOf(cri.socket).size === 0);
  const kata = await cri.crictl("runp", "-r", "kata", cri.podFile("two"));
  expect(kata.stderr).toMatch(/binary not installed .*containerd-shim-kata-v2/);
});

requires("containerd-shim-runsc-v1")("gVisor's own shim under our containerd", async () => {
  await using registry = await startTestRegistry();
  await using containerd = await startContainerd();
  const ctr = await pulled(containerd, registry);
  const flags = ["run", "--rm", "--runtime", "io.containerd.runsc.v1", registry.busybox];
  expect(await ctr(...flags, "kernel", "dmesg")).toContain("gVisor");
});
