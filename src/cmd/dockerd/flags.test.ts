import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFlags, settingsOf } from "./flags.ts";
import { claimPidFile, isAlive } from "./pid-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-flags-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const settings = (...argv: string[]) => settingsOf(parseFlags(argv));

test("flags are read in Docker's spellings", () => {
  const { config, logLevel } = settings(
    "--data-root=/d",
    "--exec-root",
    "/e",
    "-H",
    "unix:///s",
    "-H",
    "tcp://127.0.0.1:1",
    "-D",
    "--iptables=false",
    "--live-restore=true",
    "--add-runtime",
    "crun=/usr/bin/crun",
    "--add-runtime=kata=io.containerd.kata.v2",
    "--default-runtime",
    "crun",
  );
  expect(config).toMatchObject({
    dataRoot: "/d",
    execRoot: "/e",
    hosts: ["unix:///s", "tcp://127.0.0.1:1"],
    defaultRuntime: "crun",
  });
  expect(config.runtimes).toMatchObject({
    crun: { path: "/usr/bin/crun" },
    kata: { type: "io.containerd.kata.v2" },
  });
  expect(logLevel).toBe("debug");
});

test("daemon.json has the same keys, and flags go before it", () => {
  const file = join(directory, "daemon.json");
  writeFileSync(
    file,
    JSON.stringify({
      "data-root": "/from-file",
      hosts: ["unix:///file"],
      debug: true,
      "log-opts": { "max-size": "1m" },
      runtimes: { runsc: { path: "/usr/bin/runsc" } },
      "insecure-registries": ["a:5000"],
    }),
  );
  const { config } = settings("--config-file", file, "--data-root", "/flag", "--insecure-registry", "b:5000");
  expect(config).toMatchObject({
    dataRoot: "/flag",
    hosts: ["unix:///file"],
    debug: true,
    logOpts: { "max-size": "1m" },
    insecureRegistries: ["a:5000", "b:5000"],
  });
  expect(config.runtimes["runsc"]).toEqual({ path: "/usr/bin/runsc" });
});

test("what is wrong is named", () => {
  expect(() => settings("--default-runtime", "nosuch")).toThrow(
    "specified default runtime 'nosuch' does not exist",
  );
  expect(() => settings("--nosuch")).toThrow("--nosuch");
  const file = join(directory, "daemon.json");
  writeFileSync(file, '{"nosuch":1}');
  expect(() => settings("--config-file", file)).toThrow("don't match any configuration option: nosuch");
});

test("native.cgroupdriver chooses who makes cgroups, by flag and by daemon.json", () => {
  const driver = (...argv: string[]) => settings(...argv).config.cgroupDriver;
  expect(driver("--exec-opt", "native.cgroupdriver=systemd")).toBe("systemd");
  expect(driver("--exec-opt", "Native.CgroupDriver=cgroupfs", "--exec-opt", "other=1")).toBe("cgroupfs");
  const file = join(directory, "daemon.json");
  writeFileSync(file, '{"exec-opts":["native.cgroupdriver=systemd"]}');
  expect(driver("--config-file", file)).toBe("systemd");
  expect(() => driver("--exec-opt", "native.cgroupdriver=other")).toThrow(
    "native.cgroupdriver option other not supported",
  );
  const systemd = ["--exec-opt", "native.cgroupdriver=systemd", "--cgroup-parent"];
  expect(settings(...systemd, "a.slice").config.cgroupParent).toBe("a.slice");
  expect(() => settings(...systemd, "/docker")).toThrow(
    'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"',
  );
});

test("a pid file is taken from the dead and refused by the living", () => {
  const path = join(directory, "pid");
  writeFileSync(path, "4194304999");
  claimPidFile(path)();
  writeFileSync(path, String(process.ppid));
  expect(() => claimPidFile(path)).toThrow(`process with PID ${process.ppid} is still running`);
  expect(readFileSync(path, "utf8")).toBe(String(process.ppid));
});

test("a zombie is not alive", async () => {
  // The child ends at once, and its parent never asks for it.
  const parent = Bun.spawn(["sh", "-c", "sh -c 'echo $$' & exec sleep 30"], { stdout: "pipe" });
  try {
    const reader = parent.stdout.getReader();
    const pid = Number(Buffer.from((await reader.read()).value!).toString());
    const isZombie = () => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    while (!isZombie()) await new Promise((next) => setTimeout(next, 2));
    expect(isAlive(pid)).toBe(false);
    expect(isAlive(process.pid)).toBe(true);
  } finally {
    parent.kill("SIGKILL");
    await parent.exited;
  }
});

test("TLS asks clients for certificates unless --tlsverify=false", () => {
  const files = ["--tlscacert", "/ca", "--tlscert", "/cert", "--tlskey", "/key"];
  const of = (...argv: string[]) => settings("-H", "tcp://:1", ...argv).config.tls;
  expect(of()).toBeUndefined();
  expect(of(...files)).toBeUndefined();
  expect(of("--tlsverify", ...files)).toEqual({ ca: "/ca", cert: "/cert", key: "/key", verify: true });
  expect(of("--tls", ...files)?.verify).toBe(true);
  expect(of("--tls", "--tlsverify=false", ...files)?.verify).toBe(false);
  expect(of("--tls=false", ...files)).toBeUndefined();
  expect(settings("--tlsverify", ...files).config.hosts).toEqual(["tcp://127.0.0.1:2376"]);
  expect(() => of("--tlsverify=maybe")).toThrow("not a boolean");
});
