/** The monitor: stdio, logs, clients, exits; with the shipped binary and with the sanitized one. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { deferred } from "../../src/base/async.ts";
import { useNative } from "../../src/monitor/binary.ts";
import {
  connectMonitor,
  directLauncher,
  type Monitor,
  type MonitorSpec,
  readExit,
  spawnMonitor,
} from "../../src/monitor/index.ts";
import { syscall } from "../../src/sys/libc.ts";
import {
  containerPlan,
  execPlan,
  nativeBinaries,
  type PlanOptions,
  sandbox,
  sanitizerReports,
} from "../helpers/native.ts";

const binaries = nativeBinaries();
const openPath = 0o10000000;

async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** Resolves when the stream has shown `needle`; what it has shown until then. */
function shows(stream: Readable, needle: string): Promise<string> {
  const found = deferred<string>();
  let seen = "";
  const look = (chunk: Buffer) => {
    seen += chunk.toString("utf8");
    if (!seen.includes(needle)) return;
    stream.off("data", look);
    found.resolve(seen);
  };
  stream.on("data", look);
  stream.on("end", () => found.reject(new Error(`ended without ${needle}: ${seen}`)));
  return found.promise;
}

interface Entry {
  log: string;
  stream: string;
  time: string;
}
const entries = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Entry);

describe.each(["shipped", "sanitized"] as const)("the monitor (%s)", (kind) => {
  let box: ReturnType<typeof sandbox>;
  let started: Monitor[];
  let reports: ReturnType<typeof sanitizerReports>;
  beforeAll(() => {
    useNative(binaries[kind]);
    reports = sanitizerReports();
  });
  afterAll(() => {
    useNative(undefined);
    const text = reports.text();
    reports.remove();
    expect(text).toBe("");
  });
  beforeEach(() => {
    box = sandbox();
    started = [];
  });
  afterEach(async () => {
    for (const monitor of started) {
      await monitor.signal(9).catch(() => {});
      await monitor.exited.catch(() => {});
      monitor.close();
    }
    box.remove();
  });

  const log = () => join(box.dir, "log");
  const start = async (
    script: string,
    spec: Partial<MonitorSpec> = {},
    options: Partial<PlanOptions> = {},
  ): Promise<Monitor> => {
    const plan = containerPlan({
      rootfs: box.rootfs,
      argv: ["sh", "-c", script],
      terminal: spec.terminal ?? false,
      ...(spec.size && { size: spec.size }),
      ...options,
    });
    const monitor = await spawnMonitor({
      dir: join(box.dir, "run"),
      run: { kind: "plan", plan },
      terminal: false,
      stdin: false,
      log: { path: log(), format: "json-file" },
      ...spec,
    });
    started.push(monitor);
    return monitor;
  };
  /** A gate of the test's own: `open` lets the process go on. */
  const gate = () => {
    const path = join(box.dir, "exec.fifo");
    spawnSync("mkfifo", [path]);
    const fd = openSync(path, openPath);
    return {
      fd,
      open() {
        closeSync(fd);
        const reader = openSync(path, "r");
        const byte = Buffer.alloc(1);
        syscall("read", [reader, byte, 1]);
        closeSync(reader);
        return byte.toString();
      },
    };
  };

  test("writes json-file logs as Docker does and records the exit", async () => {
    const monitor = await start(
      `printf 'a\\n"b" <&>\\t\\\\\\n'; printf '\\377\\342\\200\\250x'; echo err >&2; exit 3`,
    );
    const record = await monitor.exited;
    expect(record).toEqual({ exitCode: 3, exitedAt: record.exitedAt, oomKilled: false });
    expect(record.exitedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
    expect(readExit(join(box.dir, "run"))).toEqual(record);
    const raw = readFileSync(log(), "utf8");
    expect(raw).toContain('{"log":"a\\n","stream":"stdout","time":"');
    expect(raw).toContain('{"log":"\\"b\\" \\u003c\\u0026\\u003e\\u0009\\\\\\n","stream":"stdout"');
    expect(raw).toContain('{"log":"\\ufffd\\u2028x","stream":"stdout"');
    expect(raw).toContain('{"log":"err\\n","stream":"stderr"');
    expect(entries(log()).map((entry) => entry.log)).toContain("a\n");
  });

  test("splits lines at 16 KiB: json-file and CRI", async () => {
    const script = "head -c 40000 /dev/zero | busybox tr '\\0' x; echo; echo end";
    await (await start(script, {}, { before: zeroDevice })).exited;
    expect(entries(log()).map((entry) => entry.log.length)).toEqual([16384, 16384, 7233, 4]);
    const times = entries(log()).map((entry) => entry.time);
    expect(times[0]).toBe(times[2]!);
    const cri = join(box.dir, "cri");
    await (
      await start(
        script,
        { dir: join(box.dir, "run2"), log: { path: cri, format: "cri" } },
        { before: zeroDevice },
      )
    ).exited;
    const lines = readFileSync(cri, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => line.split(" ").slice(1, 3).join(" "))).toEqual([
      "stdout P",
      "stdout P",
      "stdout F",
      "stdout F",
    ]);
    expect(lines[3]).toMatch(/^\S+Z stdout F end$/);
  });

  test("a line of just 16 KiB is whole in CRI's format, however its pieces come", async () => {
    const cri = join(box.dir, "cri");
    const sixteen = "head -c 16384 /dev/zero | busybox tr '\\0' x";
    const script = `${sixteen}; echo; ${sixteen}; busybox sleep 0.1; echo; ${sixteen}; echo y`;
    await (await start(script, { log: { path: cri, format: "cri" } }, { before: zeroDevice })).exited;
    const lines = readFileSync(cri, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => [line.split(" ")[2], line.split(" ")[3]?.length])).toEqual([
      ["F", 16384],
      ["F", 16384],
      ["P", 16384],
      ["F", 1],
    ]);
  });

  test("what ends without a newline stays a part in CRI's format", async () => {
    const cri = join(box.dir, "cri");
    await (await start("echo one; printf two", { log: { path: cri, format: "cri" } })).exited;
    const lines = readFileSync(cri, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => line.replace(/^\S+ /, ""))).toEqual(["stdout F one", "stdout P two"]);
  });

  test("rotates logs by size and keeps so many files", async () => {
    const script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done";
    await (await start(script, { log: { path: log(), format: "json-file", maxSize: 4000, maxFiles: 3 } }))
      .exited;
    const files = readdirSync(box.dir).filter((name) => name.startsWith("log"));
    expect(files.sort()).toEqual(["log", "log.1", "log.2"]);
    const all = [2, 1].flatMap((n) => entries(`${log()}.${n}`)).concat(entries(log()));
    expect(all.at(-1)!.log).toBe("line 199\n");
    // Nothing is missing or twice in what is kept.
    expect(all.map((entry) => entry.log)).toEqual(
      Array.from({ length: all.length }, (_, i) => `line ${200 - all.length + i}\n`),
    );
    for (const name of files) expect(readFileSync(join(box.dir, name)).length).toBeLessThan(4200);
  });

  test("reopens the log where it was moved away", async () => {
    const monitor = await start("echo one; cat; echo two", { stdin: true });
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    while (entries(log()).length === 0) await Bun.sleep(2);
    spawnSync("mv", [log(), `${log()}.old`]);
    await monitor.reopenLog();
    attached.stdin!.end();
    await monitor.exited;
    expect(entries(`${log()}.old`).map((entry) => entry.log)).toEqual(["one\n"]);
    expect(entries(log()).map((entry) => entry.log)).toEqual(["two\n"]);
  });

  test("gives stdin with a real end, and every client the output after its attach", async () => {
    const monitor = await start("cat; echo over >&2", { stdin: true });
    const one = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    const two = await monitor.attach({ stdin: false, stdout: true, stderr: false });
    one.stdin!.write("first\n");
    one.stdin!.end("last");
    expect(
      await Promise.all([text(one.stdout), text(one.stderr), text(two.stdout), text(two.stderr)]),
    ).toEqual(["first\nlast", "over\n", "first\nlast", ""]);
    expect((await monitor.exited).exitCode).toBe(0);
  });

  test("keeps stdin that comes before anyone reads, much more than a pipe holds", async () => {
    const monitor = await start("sleep 0.2; cat | busybox md5sum", { stdin: true });
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    const data = Buffer.alloc(3_000_000, "0123456789\n");
    attached.stdin!.end(data);
    expect(await text(attached.stdout)).toBe(
      `${new Bun.CryptoHasher("md5").update(data).digest("hex")}  -\n`,
    );
  });

  test("delivers large output whole to a client that reads", async () => {
    const monitor = await start(
      "read go; dd if=/dev/zero bs=65536 count=160",
      { stdin: true, log: undefined as never },
      { before: zeroDevice },
    );
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: false });
    // What was written before the attachment would be nobody's.
    attached.stdin!.write("go\n");
    let size = 0;
    for await (const chunk of attached.stdout) size += (chunk as Buffer).length;
    expect({ size, exit: (await monitor.exited).exitCode }).toEqual({ size: 160 * 65536, exit: 0 });
  });

  test("drops a client that does not read and never blocks the container", async () => {
    const script = "read go; dd if=/dev/zero bs=65536 count=160 2>/dev/null; echo done >&2";
    const monitor = await start(script, { stdin: true, log: undefined as never }, { before: zeroDevice });
    const lazy = net.connect(join(box.dir, "run/monitor.sock"));
    await new Promise<void>((done) => lazy.once("connect", done));
    const attach = Buffer.alloc(16);
    attach.writeUInt32LE(8, 0);
    attach[4] = 16;
    attach.writeUInt32LE(1, 8);
    attach.writeUInt32LE(2, 12);
    await new Promise<void>((done) => {
      lazy.once("data", () => {
        lazy.pause();
        done();
      });
      lazy.write(attach);
    });
    const other = await monitor.attach({ stdin: true, stdout: false, stderr: true });
    other.stdin!.write("go\n");
    expect(await text(other.stderr)).toBe("done\n");
    expect((await monitor.exited).exitCode).toBe(0);
    lazy.destroy();
  });

  test("waits for a client that asked for it, which blocks neither other clients nor signals nor the exit", async () => {
    const writing = "read go; dd if=/dev/zero bs=65536 count=160 2>/dev/null; echo over >&2";
    const monitor = await start(writing, { stdin: true, log: undefined as never }, { before: zeroDevice });
    const slow = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    slow.stdin!.write("go\n");
    // Longer than a client that did not ask is given.
    await Bun.sleep(3500);
    expect(readExit(join(box.dir, "run"))).toBeUndefined();
    let size = 0;
    for await (const chunk of slow.stdout) size += (chunk as Buffer).length;
    expect({ size, errors: await text(slow.stderr) }).toEqual({ size: 160 * 65536, errors: "over\n" });
    expect((await monitor.exited).exitCode).toBe(0);

    const endless = "dd if=/dev/zero bs=65536 2>/dev/null";
    const stuck = await start(
      endless,
      { dir: join(box.dir, "run2"), log: undefined as never },
      { before: zeroDevice },
    );
    const lazy = await stuck.attach({ stdin: false, stdout: true, stderr: false });
    await Bun.sleep(200);
    const memory = readFileSync(`/proc/${stuck.monitorPid}/smaps_rollup`, "utf8");
    if (kind === "shipped") expect(Number(memory.match(/Private_Dirty: +(\d+)/)![1])).toBeLessThan(1024);
    const other = await stuck.attach({ stdin: false, stdout: false, stderr: true });
    await stuck.signal(9);
    expect((await stuck.exited).exitCode).toBe(137);
    other.close();
    lazy.close();
  });

  test("holds the output of an exec until its client has attached", async () => {
    const monitor = await start("echo early; exit 5", { hold: true });
    await Bun.sleep(50);
    expect(readFileSync(log(), "utf8")).toBe("");
    const attached = await monitor.attach({ stdin: false, stdout: true, stderr: true });
    expect(await text(attached.stdout)).toBe("early\n");
    expect((await monitor.exited).exitCode).toBe(5);
  });

  test("gives a terminal with its size, resized on request", async () => {
    const monitor = await start("tty; stty size; read x; stty size; echo got $x; ls -l /dev/console", {
      terminal: true,
      stdin: true,
      size: { rows: 30, columns: 100 },
    });
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    while (entries(log()).length < 2) await Bun.sleep(2);
    await monitor.resize(40, 120);
    const all = text(attached.stdout);
    attached.stdin!.write("word\n");
    expect(await all).toMatch(/40 120\r\ngot word\r\ncr.* 136, .*\/dev\/console\r\n$/);
    const logged = entries(log());
    expect(logged[0]).toMatchObject({ log: "/dev/pts/0\r\n", stream: "stdout" });
    expect(logged[1]!.log).toBe("30 100\r\n");
    expect((await monitor.exited).exitCode).toBe(0);
  });

  test("waits at the start gate and goes on when it is opened", async () => {
    const door = gate();
    const monitor = await start("echo through", {}, { gate: door.fd });
    expect(monitor.pid).toBeGreaterThan(0);
    expect(readFileSync(join(box.dir, "run/pid"), "utf8")).toBe(`${monitor.pid}\n`);
    expect(readFileSync(`/proc/${monitor.pid}/cmdline`, "utf8")).toContain("monitor");
    const attached = await monitor.attach({ stdin: false, stdout: true, stderr: true });
    expect(door.open()).toBe("0");
    expect(await text(attached.stdout)).toBe("through\n");
  });

  test("records the end of a process that never passed its gate", async () => {
    const door = gate();
    const monitor = await start("true", {}, { gate: door.fd });
    await monitor.signal(9);
    expect(await monitor.exited).toMatchObject({ exitCode: 137, signal: 9 });
    closeSync(door.fd);
    await expect(monitor.signal(9)).rejects.toThrow("the process has ended");
  });

  test("reports the step of a plan that fails, and leaves no process and no socket", async () => {
    const failing = start(
      "true",
      {},
      { before: (root) => [{ op: "mount", root, path: "/x", fstype: "nosuchfs" }] },
    );
    await expect(failing).rejects.toThrow("mount nosuchfs at /x: no such device (step 9 of 15)");
    expect(existsSync(join(box.dir, "run/monitor.sock"))).toBe(false);
  });

  test("runs an exec in the namespaces of a container, with and without a terminal", async () => {
    const container = await start("sleep 60");
    const exec = async (argv: string[], terminal: boolean, dir: string) => {
      const pidfd = syscall("pidfd_open", [container.pid, 0]);
      try {
        const monitor = await spawnMonitor({
          dir: join(box.dir, dir),
          run: { kind: "plan", plan: execPlan(pidfd, argv, terminal) },
          terminal,
          stdin: false,
          hold: true,
        });
        started.push(monitor);
        const attached = await monitor.attach({ stdin: false, stdout: true, stderr: true });
        return { output: await text(attached.stdout), record: await monitor.exited };
      } finally {
        closeSync(pidfd);
      }
    };
    const plain = await exec(["sh", "-c", "hostname; ps -o pid,args | head -2; exit 9"], false, "exec1");
    expect(plain.output).toBe("box\nPID   COMMAND\n    1 sleep 60\n");
    expect(plain.record.exitCode).toBe(9);
    const terminal = await exec(["sh", "-c", "tty; stty size"], true, "exec2");
    expect(terminal.output).toBe("/dev/pts/0\r\n10 40\r\n");
  });

  test("outlives a spawner killed with -9, and serves the next one", async () => {
    const script = join(box.dir, "spawner.ts");
    const here = import.meta.dir;
    writeFileSync(
      script,
      `import { spawnMonitor } from "${here}/../../src/monitor/index.ts";
import { useNative } from "${here}/../../src/monitor/binary.ts";
import { containerPlan } from "${here}/../helpers/native.ts";
useNative(${JSON.stringify(binaries[kind])});
const monitor = await spawnMonitor({
  dir: ${JSON.stringify(join(box.dir, "run"))},
  run: { kind: "plan", plan: containerPlan({ rootfs: ${JSON.stringify(box.rootfs)}, argv: ["sh", "-c", "i=0; while read x; do i=$((i+1)); echo $x $i; done; exit 4"] }) },
  terminal: false, stdin: true, log: { path: ${JSON.stringify(log())}, format: "json-file" },
});
const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
attached.stdin.write("one\\n");
// It has arrived when it comes back.
await new Promise((done) => attached.stdout.once("data", done));
console.log("ready");
setInterval(() => {}, 1000);
`,
    );
    const spawner = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    await shows(spawner.stdout, "ready");
    const ended = new Promise((done) => spawner.once("exit", done));
    spawner.kill("SIGKILL");
    await ended;
    const monitor = await connectMonitor(join(box.dir, "run"));
    started.push(monitor);
    expect(readdirSync(`/proc/${monitor.monitorPid}/fd`).length).toBeLessThan(20);
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    const all = text(attached.stdout);
    attached.stdin!.end("two\n");
    expect((await monitor.exited).exitCode).toBe(4);
    expect(await all).toEndWith("two 2\n");
    expect(entries(log()).map((entry) => entry.log)).toEqual(["one 1\n", "two 2\n"]);
    // It ends by itself, and later readers have the record.
    while (existsSync(join(box.dir, "run/monitor.sock"))) await Bun.sleep(2);
    await expect(connectMonitor(join(box.dir, "run"))).rejects.toThrow("no monitor answers");
    expect(readExit(join(box.dir, "run"))?.exitCode).toBe(4);
  });

  test("serves a foreign client's FIFOs without anyone blocking", async () => {
    const fifos = { stdin: join(box.dir, "0"), stdout: join(box.dir, "1"), stderr: join(box.dir, "2") };
    spawnSync("mkfifo", Object.values(fifos));
    const output = spawn("cat", [fifos.stdout], { stdio: ["ignore", "pipe", "inherit"] });
    const monitor = await start("cat; echo bye >&2; exit 6", { stdin: true, fifos });
    const all = text(output.stdout);
    writeFileSync(fifos.stdin, "through fifos\n");
    expect(await all).toBe("through fifos\n");
    expect((await monitor.exited).exitCode).toBe(6);
    expect(entries(log()).map((entry) => entry.log)).toEqual(["through fifos\n", "bye\n"]);
  });

  test("logs and fans out FIFOs of a task it does not own, until their end", async () => {
    const fifos = { stdin: join(box.dir, "0"), stdout: join(box.dir, "1"), stderr: join(box.dir, "2") };
    spawnSync("mkfifo", Object.values(fifos));
    const monitor = await spawnMonitor({
      dir: join(box.dir, "run"),
      run: { kind: "fifo" },
      terminal: false,
      stdin: true,
      log: { path: log(), format: "json-file" },
      fifos,
    });
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    const task = spawn("sh", ["-c", 'exec <"$0" >"$1" 2>"$2"; cat; echo end >&2', ...Object.values(fifos)]);
    attached.stdin!.end("hello\n");
    expect(await text(attached.stdout)).toBe("hello\n");
    await monitor.exited;
    expect(entries(log()).map((entry) => entry.log)).toEqual(["hello\n", "end\n"]);
    expect(existsSync(join(box.dir, "run/exit.json"))).toBe(false);
    task.kill("SIGKILL");
    monitor.close();
  });

  test("adopts the process that a foreign runtime makes, and repeats the runtime's own error", async () => {
    const pidFile = join(box.dir, "pid");
    const runtime = (script: string) => ({
      kind: "runtime" as const,
      argv: ["/bin/sh", "-c", script],
      pidFile,
    });
    const monitor = await spawnMonitor({
      dir: join(box.dir, "run"),
      run: runtime(`sh -c 'echo from the process; sleep 0.2; exit 8' & echo $! > ${pidFile}`),
      terminal: false,
      stdin: false,
      log: { path: log(), format: "json-file" },
    });
    expect(await monitor.exited).toMatchObject({ exitCode: 8 });
    expect(entries(log()).map((entry) => entry.log)).toEqual(["from the process\n"]);
    monitor.close();
    await expect(
      spawnMonitor({
        dir: join(box.dir, "run2"),
        run: runtime("echo looking; echo container with id exists >&2; exit 1"),
        terminal: false,
        stdin: false,
        log: { path: join(box.dir, "log2"), format: "json-file" },
      }),
    ).rejects.toThrow("container with id exists");
    // It is the failure's text, and no output of a container that never was.
    expect(readFileSync(join(box.dir, "log2"), "utf8")).toBe("");
  });

  test("holds what a foreign runtime says while it works, without ever blocking it", async () => {
    const pidFile = join(box.dir, "pid");
    const attempt = (dir: string, end: string) =>
      spawnMonitor({
        dir: join(box.dir, dir),
        run: {
          kind: "runtime",
          argv: ["/bin/sh", "-c", `seq 1 100000 >&2; (exec sleep 0.1) & echo $! > ${pidFile}; ${end}`],
          pidFile,
        },
        terminal: false,
        stdin: false,
        log: { path: join(box.dir, `${dir}.log`), format: "raw" },
      });
    const monitor = await attempt("fine", "exit 0");
    expect((await monitor.exited).exitCode).toBe(0);
    const all = Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join("");
    expect(readFileSync(join(box.dir, "fine.log"), "utf8") === all).toBe(true);
    monitor.close();
    await expect(attempt("failed", "echo no such thing >&2; exit 1")).rejects.toThrow("no such thing");
  });

  test("keeps the pipe of a process that outlives its parent, and still tells the exit", async () => {
    const host = containerPlan({
      rootfs: box.rootfs,
      argv: ["sh", "-c", "(sleep 0.3; echo late) & exit 2"],
      namespaces: 0x00020000 | 0x04000000,
    });
    const monitor = await spawnMonitor({
      dir: join(box.dir, "run"),
      run: { kind: "plan", plan: host },
      terminal: false,
      stdin: false,
      log: { path: log(), format: "json-file" },
    });
    expect((await monitor.exited).exitCode).toBe(2);
    while (existsSync(join(box.dir, "run/monitor.sock"))) await Bun.sleep(5);
    expect(entries(log()).map((entry) => entry.log)).toEqual(["late\n"]);
    monitor.close();
  });

  test("sees an OOM kill in the cgroup it was given", async () => {
    const cgroup = `/sys/fs/cgroup/memory/corten-native-${process.pid}-${kind}`;
    if (!existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes")) return;
    mkdirSync(cgroup);
    try {
      writeFileSync(`${cgroup}/memory.limit_in_bytes`, String(8 << 20));
      const monitor = await start(
        "head -c 64000000 /dev/zero | busybox tail -c 60000000 > /dev/null",
        { oom: { version: 1, path: cgroup } },
        {
          namespaces: 0x00020000 | 0x04000000 | 0x20000000,
          before: (root) => [
            ...zeroDevice(root),
            { op: "joinCgroup", role: "child", path: `${cgroup}/tasks` },
          ],
        },
      );
      const record = await monitor.exited;
      expect(record.exitCode).not.toBe(0);
      expect(record.oomKilled).toBe(true);
    } finally {
      spawnSync("rmdir", [cgroup]);
    }
  });

  // systemd removes a container's cgroup v2 before we can look; the one above has counted its kills as well.
  test.each<[string, own: [before: number, after: number | undefined], above: number[], boolean]>([
    ["its own counter rose", [2, 3], [4, 5], true],
    ["it is still there and did not rise", [2, 2], [4, 5], false],
    ["it is gone, and the one above rose", [2, undefined], [4, 5], true],
    ["it is gone, and the one above did not rise", [2, undefined], [4, 4], false],
    ["it is gone with the one above", [2, undefined], [4], false],
  ])("tells an OOM kill by what is left to see: %s", async (_, [before, after], above, killed) => {
    const slice = join(box.dir, "slice");
    const scope = join(slice, "scope");
    mkdirSync(scope, { recursive: true });
    const count = (directory: string, kills: number) =>
      writeFileSync(join(directory, "memory.events"), `low 0\nhigh 7\nmax 9\noom 8\noom_kill ${kills}\n`);
    count(slice, above[0]!);
    count(scope, before);
    const monitor = await start("sleep 100000", { oom: { version: 2, path: scope } });
    if (after === undefined) rmSync(scope, { recursive: true });
    else count(scope, after);
    if (above[1] === undefined) writeFileSync(join(slice, "memory.events"), "");
    else count(slice, above[1]);
    await monitor.signal(9);
    expect(await monitor.exited).toMatchObject({ exitCode: 137, oomKilled: killed });
  });

  test("uses less than half a megabyte of its own", async () => {
    if (kind === "sanitized") return;
    const monitor = await start("echo x; sleep 60", { stdin: true });
    const attached = await monitor.attach({ stdin: true, stdout: true, stderr: true });
    while (entries(log()).length === 0) await Bun.sleep(2);
    const smaps = readFileSync(`/proc/${monitor.monitorPid}/smaps_rollup`, "utf8");
    const kilobytes = Number(smaps.match(/Private_Dirty: +(\d+)/)![1]);
    expect(kilobytes).toBeLessThan(512);
    attached.close();
  });

  test("is not needed: the same plan runs directly", async () => {
    const process = await directLauncher({ stdio: ["ignore", "ignore", "ignore"] }).launch(
      containerPlan({ rootfs: box.rootfs, argv: ["sh", "-c", "exit 11"] }),
    );
    expect(await process.exited).toBe(11);
  });
});

function zeroDevice(root: number) {
  return [{ op: "mknod", root, path: "/dev/zero", mode: 0o20666, major: 1, minor: 5 } as const];
}
