/** Our shim under Debian's containerd: `ctr run --runtime io.containerd.corten.v2`, kills of both sides, version 3. */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { Sandbox } from "../../proto/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { Task } from "../../proto/gen/containerd/task/v2/shim_pb.ts";
import { createTtrpcTransport } from "../../src/shim/ttrpc/index.ts";
import { cgroupExists, makeBundle } from "../helpers/bundle.ts";
import { printed, startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { leftovers, run, until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";
import { runtime, shimOnPath, ctrWithShim as world } from "../helpers/shim.ts";
import { onTerminal } from "../helpers/terminal.ts";

const minutes = 60_000;
let shim: ReturnType<typeof shimOnPath>;
beforeAll(() => {
  shim = shimOnPath();
});
afterAll(() => shim[Symbol.dispose]());

const needs = requires("ctr", "containerd", "/bin/busybox");

/** The shim server's process. */
const serverPid = (containerd: TestContainerd): number => {
  const place = join(containerd.root, "run/corten-shim");
  const [build] = readdirSync(place);
  return Number(readFileSync(join(place, build!, "pid"), "utf8"));
};

needs(
  "the real containerd runs, execs, pauses, counts, kills and removes with our shim",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { ctr, run, start, status, flags } = world(containerd, rootfs);
    expect(await printed(() => run(`${id}-1`, "echo", "hello"))).toEqual({ code: 0, output: "hello\n" });
    expect((await run(`${id}-2`, "sh", "-c", "echo to stderr >&2; exit 7")).code).toBe(7);
    const missing = await run(`${id}-3`, "nothing");
    expect(missing.output).toContain('exec: "nothing": executable file not found in $PATH');
    const piped = await printed(() =>
      containerdRun(containerd, [...flags, rootfs, `${id}-4`, "cat"], "line\n"),
    );
    expect(piped).toMatchObject({ code: 0, stdout: "line\n" });

    await start(id, ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"]);
    expect(await status(id)).toBe("RUNNING");
    expect(
      await printed(() => ctr("task", "exec", "--exec-id", "one", id, "sh", "-c", "echo in; exit 4")),
    ).toEqual({
      code: 4,
      output: "in\n",
    });
    expect((await ctr("task", "exec", "--exec-id", "two", id, "nothing")).output).toContain("not found");
    expect((await ctr("task", "pause", id)).code).toBe(0);
    expect(await status(id)).toBe("PAUSED");
    expect((await ctr("task", "resume", id)).code).toBe(0);
    expect((await ctr("task", "metrics", id)).output).toContain("memory.usage_in_bytes");
    expect((await ctr("task", "ps", id)).output).toMatch(/^PID +INFO\n\d+ +-/);
    // Where there is a CRIU for this kernel it succeeds (checkpoint.test.ts); else it says why not, and all goes on.
    const saved = await ctr("task", "checkpoint", id);
    expect(saved.code === 0 || saved.output.includes("criu")).toBe(true);
    expect(await status(id)).toBe("RUNNING");
    expect((await ctr("task", "rm", id)).output).toContain("must be stopped before deletion");
    expect((await ctr("task", "kill", "-s", "SIGTERM", id)).code).toBe(0);
    await until("the end", async () => (await status(id)) === "STOPPED");
    expect((await ctr("task", "rm", id)).output).toContain("exit code 3");
    expect((await ctr("container", "rm", id)).code).toBe(0);
    expect(cgroupExists(`default/${id}`)).toBe(false);
    expect((await ctr("task", "ls")).output.trim()).toMatch(/^TASK +PID +STATUS$/);
  },
  4 * minutes,
);

function containerdRun(containerd: TestContainerd, argv: string[], input: string) {
  return run(["ctr", "--address", containerd.socket, "run", "--rm", ...argv], { input });
}

needs(
  "a terminal has its size, and outputs go to a file or to a logging program",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { flags, start, status, ctr } = world(containerd, rootfs);
    await using terminal = onTerminal(
      ["ctr", "--address", containerd.socket, "run", "--rm", "-t", ...flags, rootfs, `${id}-t`, "sh"],
      { columns: 91, rows: 33 },
    );
    await terminal.waitFor("/ #");
    // ctr tells the size after the start.
    terminal.type('until [ "$(stty size)" = "33 91" ]; do sleep 0.1; done; echo si""zed; tty\n');
    await terminal.waitFor("sized");
    await terminal.waitFor("/dev/pts/0");
    terminal.type("exit 6\n");
    expect(await terminal.exited).toBe(6);

    const file = join(bundle.directory, "out.log");
    await start(`${id}-f`, ["sh", "-c", "echo one; echo two >&2"], "--log-uri", `file://${file}`);
    await until("its end", async () => (await status(`${id}-f`)) === "STOPPED");
    expect(readFileSync(file, "utf8").split("\n").sort()).toEqual(["", "one", "two"]);

    const logger = join(bundle.directory, "logger");
    const logged = join(bundle.directory, "logged");
    writeFileSync(
      logger,
      `#!/bin/sh\nexec 5>&-\necho "$CONTAINER_NAMESPACE $CONTAINER_ID $*" > ${logged}\ncat <&3 >> ${logged}\necho end >> ${logged}\n`,
    );
    chmodSync(logger, 0o755);
    await start(`${id}-b`, ["echo", "told"], "--log-uri", `binary://${logger}?key=value`);
    const whole = `default ${id}-b key value\ntold\nend\n`;
    await until("the logger", () => existsSync(logged) && readFileSync(logged, "utf8") === whole);
    for (const name of ["f", "b"]) await ctr("task", "rm", "-f", `${id}-${name}`);
  },
  4 * minutes,
);

needs(
  "containers go on while containerd is killed, and what ended meanwhile keeps its status",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { ctr, start, status } = world(containerd, rootfs);
    const flag = join(rootfs, "tmp/end");
    await start(`${id}-a`, ["sleep", "600"]);
    await start(`${id}-b`, ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.05; done; exit 9"]);
    const server = serverPid(containerd);
    await containerd.kill();
    writeFileSync(flag, "");
    await until("its end", async () => (await run(["pgrep", "-f", "until .*/tmp/end"])).code !== 0);
    await containerd.restart();
    expect(await status(`${id}-a`)).toBe("RUNNING");
    expect(await status(`${id}-b`)).toBe("STOPPED");
    expect(serverPid(containerd)).toBe(server);
    expect(
      await printed(() => ctr("task", "exec", "--exec-id", "x", `${id}-a`, "sh", "-c", "echo on; exit 2")),
    ).toEqual({
      code: 2,
      output: "on\n",
    });
    expect((await ctr("task", "rm", `${id}-b`)).output).toContain("exit code 9");
    expect((await ctr("task", "rm", "-f", `${id}-a`)).code).toBe(0);
  },
  4 * minutes,
);

needs(
  "an OOM kill of a child is told while its container runs",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { ctr, start, status } = world(containerd, rootfs);
    const client = await containerd.client();
    const stop = new AbortController();
    let told = 0;
    const listening = (async () => {
      const filters = ['topic=="/tasks/oom"'];
      for await (const _ of client.events.subscribe({ filters }, { signal: stop.signal })) told++;
    })().catch(() => {});
    const hungry = "sh -c 'x=a; while :; do x=$x$x; done'; sleep 600";
    await start(id, ["sh", "-c", hungry], "--memory-limit", String(20 << 20));
    await until("the event", () => told > 0);
    expect(await status(id)).toBe("RUNNING");
    expect((await ctr("task", "rm", "-f", id)).code).toBe(0);
    stop.abort();
    await listening;
  },
  4 * minutes,
);

needs(
  "a killed shim server's containers end, with the status of those that had ended, and leave nothing",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { ctr, run: runOne, start, status } = world(containerd, rootfs);
    const client = await containerd.client();
    const exits = new Map<string, number>();
    const stop = new AbortController();
    const { fromBinary } = await import("@bufbuild/protobuf");
    const { TaskExitSchema } = await import("../../proto/gen/containerd/events/task_pb.ts");
    const listening = (async () => {
      for await (const { topic, event } of client.events.subscribe({ filters: [] }, { signal: stop.signal }))
        if (topic === "/tasks/exit" && event) {
          const { containerId, exitStatus } = fromBinary(TaskExitSchema, event.value);
          exits.set(containerId, exitStatus);
        }
    })().catch(() => {});
    for (const code of [5, 6]) await start(`${id}-${code}`, ["sh", "-c", `exit ${code}`]);
    for (const name of ["x", "y", "z"]) await start(`${id}-${name}`, ["sleep", "600"]);
    for (const code of [5, 6])
      await until("its end", async () => (await status(`${id}-${code}`)) === "STOPPED");
    // Under load: some are being made while it is killed.
    const making = ["m", "n"].map((name) => ctr("run", "--rm", ...flagsOf(rootfs, `${id}-${name}`)));
    exits.clear();
    process.kill(serverPid(containerd), 9);
    await Promise.all(making);
    await until("all exits", () => ["5", "6", "x", "y", "z"].every((name) => exits.has(`${id}-${name}`)));
    expect(exits.get(`${id}-5`)).toBe(5);
    expect(exits.get(`${id}-6`)).toBe(6);
    expect(exits.get(`${id}-x`)).toBe(137);
    // A container that was asked for at that moment has run or has not; all that was there is gone.
    const state = join(containerd.root, "run/io.containerd.runtime.v2.task/default");
    await until("all bundles gone", () => readdirSync(state).length === 0);
    for (const name of ["5", "x", "z"]) expect(cgroupExists(`default/${id}-${name}`)).toBe(false);
    expect(readdirSync(join(containerd.root, "run/runc/default"))).toEqual([]);
    expect(await printed(() => runOne(`${id}-after`, "echo", "again"))).toEqual({
      code: 0,
      output: "again\n",
    });
    stop.abort();
    await listening;
  },
  4 * minutes,
);

const flagsOf = (rootfs: string, name: string) => [
  ...["--runtime", runtime, "--rootfs", "--env", "PATH=/bin", rootfs, name, "true"],
];

needs(
  "a containerd of version 2 gets the third form: Task v3 and the sandbox service on one socket",
  async () => {
    await using bundle = makeBundle();
    const root = mkdtempSync(join(tmpdir(), "corten-shim-v3-"));
    const fake = join(root, "containerd");
    writeFileSync(fake, "#!/bin/sh\necho containerd github.com/containerd/containerd/v2 v2.1.4 abc\n");
    chmodSync(fake, 0o755);
    const task = join(root, "io.containerd.runtime.v2.task/other", bundle.id);
    mkdirSync(join(task, "rootfs"), { recursive: true });
    bundle.configure(["sh", "-c", "exit 12"], (spec) => {
      spec.root!.path = bundle.rootfs;
    });
    writeFileSync(join(task, "config.json"), readFileSync(join(bundle.directory, "config.json")));
    const call = (...argv: string[]) =>
      run([shim.program, "-namespace", "other", "-id", bundle.id, "-publish-binary", fake, ...argv], {
        cwd: task,
        env: { TTRPC_ADDRESS: join(root, "nobody"), MAX_SHIM_VERSION: "2" },
      });
    const started = await call("start");
    expect(started).toMatchObject({ code: 0, stderr: "" });
    const bootstrap = JSON.parse(started.stdout) as { version: number; address: string; protocol: string };
    expect(bootstrap).toMatchObject({ version: 3, protocol: "ttrpc" });
    expect(readFileSync(join(task, "address"), "utf8")).toBe(bootstrap.address);
    const transport = createTtrpcTransport({ connect: { path: bootstrap.address.slice("unix://".length) } });
    try {
      const v3 = { ...Task, typeName: "containerd.task.v3.Task" };
      const methods = Task.methods.map((method) => ({ ...method, parent: v3 }));
      const client = createClient(
        {
          ...v3,
          methods,
          method: Object.fromEntries(methods.map((m) => [m.localName, m])),
        } as unknown as typeof Task,
        transport,
      );
      const sandbox = createClient(Sandbox, transport);
      await sandbox.createSandbox({ sandboxId: "s", bundlePath: task });
      expect((await sandbox.startSandbox({ sandboxId: "s" })).pid).toBeGreaterThan(0);
      expect((await sandbox.sandboxStatus({ sandboxId: "s" })).state).toBe("SANDBOX_READY");
      const { pid } = await client.create({ id: bundle.id, bundle: task });
      expect(pid).toBeGreaterThan(0);
      expect(await client.start({ id: bundle.id })).toMatchObject({ pid });
      expect((await client.wait({ id: bundle.id })).exitStatus).toBe(12);
      expect((await client.delete({ id: bundle.id })).exitStatus).toBe(12);
      await sandbox.shutdownSandbox({ sandboxId: "s" });
    } finally {
      transport.close();
    }
    const deleted = await call("-bundle", task, "delete");
    expect(deleted.code).toBe(0);
    expect(readdirSync(task).sort()).toEqual(["address", "config.json", "rootfs", "shim.pid"]);
    await until("the server's end", () => !existsSync(join(root, "corten-shim")));
    rmSync(root, { recursive: true, force: true });
  },
  4 * minutes,
);

requires(
  "/usr/sbin/dockerd",
  "containerd",
  "runc",
  "/bin/busybox",
)(
  "the real dockerd runs on our shim in the place of Go's, by its name",
  async () => {
    using _instead = shimOnPath("containerd-shim-runc-v2");
    await using bundle = makeBundle();
    const root = mkdtempSync(join(tmpdir(), "corten-shim-dockerd-"));
    const host = `unix://${join(root, "docker.sock")}`;
    const flags = ["--data-root", join(root, "lib"), "--exec-root", join(root, "run"), "-H", host];
    flags.push("--pidfile", join(root, "pid"), "--bridge=none", "--iptables=false");
    const dockerd = Bun.spawn(["/usr/sbin/dockerd", ...flags], {
      env: { ...process.env },
      stdio: ["ignore", "ignore", Bun.file(join(root, "log"))],
    });
    const docker = async (...argv: string[]) => {
      const { code, stdout, stderr } = await run(["docker", "-H", host, ...argv]);
      return { code, output: stdout + stderr };
    };
    const inspect = async (what: string) =>
      (await docker("inspect", "-f", `{{${what}}}`, "one")).output.trim();
    try {
      await until("dockerd", async () => (await docker("version")).code === 0);
      const archive = join(bundle.directory, "image.tar");
      expect((await run(["tar", "-C", bundle.rootfs, "-cf", archive, "."])).code).toBe(0);
      expect((await docker("import", archive, "box:1")).code).toBe(0);
      const start = ["run", "-d", "--network", "none", "--name", "one", "box:1"];
      expect((await docker(...start, "sh", "-c", "echo logged; sleep 600")).code).toBe(0);
      const daemon = join(root, "run/containerd/daemon");
      expect(readdirSync(daemon)).toContain("corten-shim");
      expect(await docker("exec", "one", "sh", "-c", "echo in; exit 3")).toEqual({ code: 3, output: "in\n" });
      expect((await docker("logs", "one")).output).toBe("logged\n");
      expect((await docker("pause", "one")).code).toBe(0);
      expect(await inspect(".State.Status")).toBe("paused");
      expect((await docker("unpause", "one")).code).toBe(0);
      expect((await docker("stats", "--no-stream", "one")).output).toMatch(/one +[\d.]+% +\d+/);
      // Its shim is killed: the container ends, as with Go's, and can be started again.
      const place = join(daemon, "corten-shim", readdirSync(join(daemon, "corten-shim"))[0]!);
      process.kill(Number(readFileSync(join(place, "pid"), "utf8")), 9);
      await until("the end", async () => (await inspect(".State.Status")) === "exited");
      expect(await inspect(".State.ExitCode")).toBe("137");
      expect((await docker("start", "one")).code).toBe(0);
      expect(await inspect(".State.Status")).toBe("running");
      expect((await docker("rm", "-f", "one")).code).toBe(0);
      const filled = ["run", "--network", "none", "-m", "20m", "--name", "one", "box:1", "sh", "-c"];
      expect((await docker(...filled, "x=a; while :; do x=$x$x; done")).code).toBe(137);
      expect(await inspect(".State.OOMKilled")).toBe("true");
      expect((await docker("rm", "one")).code).toBe(0);
    } finally {
      dockerd.kill("SIGTERM");
      await dockerd.exited;
      const gone = () => leftovers(root).length === 0;
      await until("the end of what ran", gone).catch(() => {});
      const left = leftovers(root);
      for (const line of left) {
        const [kind, what = ""] = line.split(" ");
        await run(kind === "mount" ? ["umount", "-l", what] : ["kill", "-9", what]);
      }
      rmSync(root, { recursive: true, force: true });
      expect(left).toEqual([]);
    }
  },
  4 * minutes,
);
