import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFrozen } from "./freezer.ts";
import { cgroupDirectories, parseLayout } from "./layout.ts";
import { readStats } from "./stats.ts";
import { cgroupProcesses, makeCpuset, makeUnifiedCgroup } from "./tree.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-cgroup-"));
});
afterEach(() => rmSync(root, { recursive: true }));
const put = (path: string, files: Record<string, string>) => {
  mkdirSync(join(root, path), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, path, name), text);
};

const hybrid = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`;

test("a hybrid machine has its controllers by name and the v2 tree under the empty one", () => {
  const layout = parseLayout(hybrid, "3:memory:/own/part\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n");
  expect(layout.mode).toBe("hybrid");
  expect(cgroupDirectories(layout, "/docker/x")).toEqual({
    memory: "/sys/fs/cgroup/memory/docker/x",
    cpu: "/sys/fs/cgroup/cpu,cpuacct/docker/x",
    cpuacct: "/sys/fs/cgroup/cpu,cpuacct/docker/x",
    "name=systemd": "/sys/fs/cgroup/systemd/docker/x",
    "": "/sys/fs/cgroup/unified/docker/x",
  });
});

test("a relative path starts at our own cgroup, and no path leaves its start", () => {
  const layout = parseLayout(hybrid, "3:memory:/own/part\n0::/\n");
  expect(cgroupDirectories(layout, "x")["memory"]).toBe("/sys/fs/cgroup/memory/own/part/x");
  expect(cgroupDirectories(layout, "../../../x")["memory"]).toBe("/sys/fs/cgroup/memory/own/part/x");
  expect(cgroupDirectories(layout, "/../../x")["memory"]).toBe("/sys/fs/cgroup/memory/x");
});

test("in a container the visible part of the hierarchy counts, not the host's path", () => {
  const inside = "33 31 0:31 /docker/me /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
  const layout = parseLayout(inside, "3:memory:/docker/me/sub\n");
  expect(cgroupDirectories(layout, "x")["memory"]).toBe("/sys/fs/cgroup/memory/sub/x");
});

test("one cgroup2 mount is a v2 machine", () => {
  const layout = parseLayout(
    "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
    "0::/init.scope\n",
  );
  expect([layout.mode, cgroupDirectories(layout, "/a/b")]).toEqual(["v2", { "": "/sys/fs/cgroup/a/b" }]);
});

test("making a v2 cgroup enables every controller above it", () => {
  put("", { "cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "pids\n" });
  put("a", { "cgroup.subtree_control": "" });
  expect(makeUnifiedCgroup(root, join(root, "a/b"), true)).toEqual([join(root, "a/b")]);
  expect(readFileSync(join(root, "cgroup.subtree_control"), "utf8")).toStartWith("+cpu +memory");
  expect(readFileSync(join(root, "a/cgroup.subtree_control"), "utf8")).toBe("+cpu +memory +pids");
});

test("a threaded v2 cgroup refuses what needs a domain, and is left as it was", () => {
  put("", { "cgroup.controllers": "memory\n", "cgroup.subtree_control": "memory\n" });
  put("a", { "cgroup.type": "domain invalid\n" });
  expect(() => makeUnifiedCgroup(root, join(root, "a"), true)).toThrow("invalid state");
  makeUnifiedCgroup(root, join(root, "a"), false);
  expect(readFileSync(join(root, "a/cgroup.type"), "utf8")).toStartWith("threaded");
});

test("a new cpuset takes over its parent's CPUs and nodes", () => {
  put("", { "cpuset.cpus": "0-1\n", "cpuset.mems": "0\n" });
  put("x", { "cpuset.cpus": "\n", "cpuset.mems": "\n" });
  makeCpuset(join(root, "x"));
  expect(readFileSync(join(root, "x/cpuset.cpus"), "utf8")).toBe("0-1");
});

test("processes of sub-cgroups belong to the container", () => {
  put("", { "cgroup.procs": "10\n11\n" });
  put("sub/below", { "cgroup.procs": "12\n" });
  expect(cgroupProcesses(root)).toEqual([10, 11, 12]);
  expect(cgroupProcesses(root, false)).toEqual([10, 11]);
});

test("frozen means this cgroup, not one above it", () => {
  put("", { "freezer.state": "FROZEN\n", "freezer.self_freezing": "0\n", "cgroup.freeze": "1\n" });
  expect(isFrozen({ freezer: root })).toBe(false);
  expect(isFrozen({ "": root })).toBe(true);
  writeFileSync(join(root, "freezer.self_freezing"), "1\n");
  expect(isFrozen({ freezer: root })).toBe(true);
});

test("v2 statistics come in v1's terms: nanoseconds, swap with memory", () => {
  put("", {
    "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 9\n",
    "memory.current": "100\n",
    "memory.max": "max\n",
    "memory.swap.current": "20\n",
    "memory.swap.max": "50\n",
    "memory.stat": "file 30\nanon 60\n",
    "memory.events": "oom_kill 2\n",
    "pids.current": "4\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n",
  });
  const stats = readStats({ "": root });
  expect(stats.cpu).toMatchObject({ total: 5000, user: 3000, kernel: 2000 });
  expect(stats.cpu.throttling).toEqual({ periods: 7, throttledPeriods: 1, throttledTime: 9000 });
  expect(stats.memory).toMatchObject({ cache: 30, oomKills: 2, usage: { usage: 100 }, swap: { usage: 120 } });
  expect(stats.pids).toEqual({ current: 4, limit: 0 });
  expect(stats.blockIo.serviced).toEqual([
    { major: 8, minor: 0, operation: "Read", value: 1 },
    { major: 8, minor: 0, operation: "Write", value: 2 },
  ]);
});
