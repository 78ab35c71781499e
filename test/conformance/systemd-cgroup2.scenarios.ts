/**
 * Run in a virtual machine by systemd-cgroup2.test.ts, as a service of a real systemd on a pure cgroup v2. Prints `ok NAME`
 * for each scenario, or `FAILED NAME` and why. With arguments only those whose names contain one of them.
 */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { type Bundle, makeBundle } from "../helpers/bundle.ts";
import { startCri, type TestCri } from "../helpers/cri.ts";
import { corten, type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { isLoaded, ok, systemdPods } from "./systemd.scenarios.ts";

const megabyte = 1 << 20;
const mount = "/sys/fs/cgroup";
const ours = [...corten, "runc"];
const theirs = ["runc"];

/** What differs from one moment to the next, or by the process's number. */
const dynamic =
  /^(cgroup\.(procs|threads|events|stat|pressure)|.*\.(pressure|stat|current|peak|events|events\.local|numa_stat)|cpu\.stat.*|memory\.(reclaim|swap\.peak))$/;

/** The settings of a cgroup: every file that can be read and says the same at every look. */
function settings(group: string): string[] {
  return readdirSync(group)
    .filter((name) => statSync(join(group, name)).isFile() && !dynamic.test(name))
    .flatMap((name) => {
      try {
        return [`${name}=${readFileSync(join(group, name), "utf8").trim().replaceAll("\n", " | ")}`];
      } catch {
        return [];
      }
    })
    .sort();
}

const read = (group: string, file: string) => readFileSync(join(group, file), "utf8").trim();

/**
 * What runc 1.1.5 does otherwise than ours: it does not tell a change of swap to 0 nor waits until systemd has written its values, sets no reservations of huge pages and names no
 * device that is not there; and what comes of properties that are set again after the start.
 */
const ofVersion =
  /^(Description|DropInPaths|NeedDaemonReload|FragmentPath|DeviceAllow=\/dev\/char\/10:200|MemorySwapMax=|memory\.swap\.max=|cpu\.max=max |hugetlb\..*\.rsvd\.max)/;
const measured = /^\w*(Timestamp\w*|InvocationID|ControlGroupId|Current|UsageNSec|Available|Peak)=/;

/** All that systemd knows of a unit and that is no measurement. */
async function shown(name: string, id: string): Promise<string[]> {
  const text = await ok(run(["systemctl", "show", name]));
  return text
    .split("\n")
    .filter((line) => !measured.test(line))
    .map((line) => line.replaceAll(id, "ID").replace("=char-pts ", "=char-136 "))
    .sort();
}

const groupOf = (pid: number) =>
  join(mount, readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().replace(/^0::/, ""));

interface Running {
  bundle: Bundle;
  scope: string;
  group: string;
  pid: number;
}

/** A running container, what is to be done with it, and its end, after which nothing is left. */
async function container<T>(
  command: readonly string[],
  change: (spec: Spec, id: string) => void,
  work: (running: Running) => Promise<T>,
  args = ["sleep", "100000"],
): Promise<T> {
  await using bundle = makeBundle([...command, "--systemd-cgroup"]);
  const { id, runc } = bundle;
  bundle.configure(args, (spec) => {
    spec.linux!.cgroupsPath = `ct-a.slice:test:${id}`;
    change(spec, id);
  });
  await ok(runc("run", "-d", id));
  const { pid } = JSON.parse(await ok(runc("state", id))) as { pid: number };
  const group = groupOf(pid);
  const scope = `test-${id}.scope`;
  assert.ok(group.endsWith(scope), group);
  const result = await work({ bundle, scope, group, pid });
  await ok(runc("delete", "-f", id));
  assert.equal(await isLoaded(scope), false, `${scope} is still there`);
  assert.ok(!existsSync(group), `${group} is still there`);
  return result;
}

/** The same with ours and with the real runc: all that `work` tells must be equal. */
async function alike<T>(
  change: (spec: Spec, id: string) => void,
  work: (running: Running) => Promise<T>,
  args?: string[],
): Promise<T> {
  const own = await container(ours, change, work, args);
  const real = await container(theirs, change, work, args);
  assert.deepEqual(comparable(own), comparable(real));
  return own;
}

/** The same without what differs by version. */
function comparable(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((line) => typeof line !== "string" || !ofVersion.test(line));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, comparable(part)]));
}

const look = async ({ bundle, scope, group }: Running) => ({
  unit: await shown(scope, bundle.id),
  files: settings(group),
});

const has = (lines: readonly string[], ...wanted: string[]) => {
  for (const line of wanted) assert.ok(lines.includes(line), `${line} in\n${lines.join("\n")}`);
};

async function limits(): Promise<void> {
  const seen = await alike(
    (spec) => {
      Object.assign(spec.linux!.resources!, {
        memory: { limit: 64 * megabyte, swap: 96 * megabyte, reservation: 32 * megabyte },
        cpu: { shares: 512, quota: 25_000, period: 50_000, cpus: "0", mems: "0" },
        pids: { limit: 40 },
        hugepageLimits: [{ pageSize: "2MB", limit: 4 * megabyte }],
        blockIO: { throttleReadBpsDevice: [{ major: 7, minor: 0, rate: megabyte }] },
        devices: [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
        ],
      } satisfies Partial<NonNullable<Spec["linux"]>["resources"]>);
      const node = { type: "c" as const, fileMode: 0o666 };
      spec.linux!.devices = [
        { ...node, path: "/dev/allowed", major: 10, minor: 229 },
        { ...node, path: "/dev/denied", major: 1, minor: 1 },
      ];
      spec.annotations = { "org.systemd.property.TimeoutStopSec": "uint32 7" };
    },
    async (running) => {
      const { runc, id } = running.bundle;
      const created = await look(running);
      // A device that is not allowed cannot be opened; one that is has no driver here.
      const open = "for d in denied allowed zero; do head -c1 /dev/$d 2>&1 >/dev/null; done; true";
      const devices = await ok(runc("exec", id, "sh", "-c", open));
      await ok(
        runc(
          ...["update", "--memory", String(80 * megabyte), "--memory-swap", String(80 * megabyte)],
          ...["--memory-reservation", String(40 * megabyte), "--cpu-share", "1024", "--cpu-quota", "30000"],
          ...["--cpu-period", "60000", "--cpuset-cpus", "1", "--pids-limit", "50", id],
        ),
      );
      const updated = await look(running);
      await ok(
        runc(
          "update",
          "--memory",
          "-1",
          "--memory-swap",
          "-1",
          "--pids-limit",
          "-1",
          "--cpu-quota",
          "-1",
          id,
        ),
      );
      return { created, devices, updated, unlimited: await look(running) };
    },
  );
  has(seen.created.unit, "Slice=ct-a.slice", `MemoryMax=${64 * megabyte}`, `MemorySwapMax=${32 * megabyte}`);
  has(seen.created.unit, `MemoryLow=${32 * megabyte}`, "TasksMax=40", "AllowedCPUs=0", "TimeoutStopUSec=7s");
  has(
    seen.created.files,
    `memory.max=${64 * megabyte}`,
    `memory.swap.max=${32 * megabyte}`,
    "cpu.max=25000 50000",
    "cpuset.cpus=0",
    "pids.max=40",
  );
  has(
    seen.created.files,
    `hugetlb.2MB.max=${4 * megabyte}`,
    `io.max=7:0 rbps=${megabyte} wbps=max riops=max wiops=max`,
  );
  assert.match(seen.devices, /denied: Operation not permitted/);
  assert.doesNotMatch(seen.devices, /allowed: Operation not permitted|zero/);
  has(
    seen.updated.files,
    `memory.max=${80 * megabyte}`,
    "memory.swap.max=0",
    "cpu.max=30000 60000",
    "cpuset.cpus=1",
  );
  has(seen.unlimited.files, "memory.max=max", "memory.swap.max=max", "pids.max=max", "cpu.max=max 60000");
}

/** Files by name, of which systemd knows some, in a slice of the root and after what systemd itself does again. */
async function unifiedFiles(): Promise<void> {
  const seen = await alike(
    (spec, id) => {
      spec.linux!.cgroupsPath = `user.slice:test:${id}`;
      spec.linux!.resources!.unified = {
        "memory.high": String(48 * megabyte),
        "memory.max": String(64 * megabyte),
        "memory.oom.group": "1",
        "cpu.weight": "50",
        "cpu.max": "20000 100000",
        "pids.max": "33",
        "cpuset.cpus": "0-1",
        "hugetlb.2MB.max": String(2 * megabyte),
      };
    },
    async (running) => {
      const created = await look(running);
      // systemd writes its own values again: they must be the container's.
      await ok(run(["systemctl", "daemon-reload"]));
      await ok(run(["systemctl", "set-property", "--runtime", running.scope, "IOWeight=77"]));
      const { created: _, ...again } = { created, ...(await look(running)) };
      return { created, again: again.files.filter((line) => !line.startsWith("io.")) };
    },
  );
  has(seen.created.unit, "Slice=user.slice", `MemoryHigh=${48 * megabyte}`, "CPUWeight=50", "TasksMax=33");
  has(seen.created.files, "memory.oom.group=1", "cpu.max=20000 100000", `hugetlb.2MB.max=${2 * megabyte}`);
  has(seen.again, `memory.max=${64 * megabyte}`, "cpu.max=20000 100000", "pids.max=33", "cpuset.cpus=0-1");
}

/** Freezer, signals to all, counters; and cgroups that the container makes for itself in what is delegated to it. */
async function life(): Promise<void> {
  const seen = await alike(
    (spec) => {
      spec.linux!.cgroupsPath = spec.linux!.cgroupsPath!.replace("ct-a.slice", "ct-b-c.slice");
      spec.linux!.resources!.memory = { limit: 64 * megabyte };
      spec.linux!.namespaces!.push({ type: "cgroup" });
      spec.mounts!.push({
        destination: "/sys/fs/cgroup",
        type: "cgroup",
        source: "cgroup",
        options: ["nosuid", "noexec"],
      });
    },
    async ({ bundle: { runc, id }, group, pid }) => {
      assert.match(group, /^\/sys\/fs\/cgroup\/ct\.slice\/ct-b\.slice\/ct-b-c\.slice\//);
      await ok(runc("pause", id));
      const paused = [read(group, "cgroup.freeze"), JSON.parse(await ok(runc("state", id))).status];
      await ok(runc("resume", id));
      const resumed = [read(group, "cgroup.freeze"), JSON.parse(await ok(runc("state", id))).status];
      const nested =
        "cd /sys/fs/cgroup && mkdir inner && echo 1 >inner/cgroup.procs && echo $$ >inner/cgroup.procs && echo +memory +pids >cgroup.subtree_control && cat cgroup.subtree_control inner/pids.max && cat /proc/1/cgroup";
      const delegated = await ok(runc("exec", id, "sh", "-c", nested));
      const { memory, pids, cpu } = JSON.parse(await ok(runc("events", "--stats", id))).data;
      assert.ok(cpu.usage.total > 0 && memory.usage.usage > 0, JSON.stringify({ memory, cpu }));
      await ok(runc("kill", "--all", id, "KILL"));
      await until("the end of all", () => hasEnded(pid));
      return { paused, resumed, delegated, counted: { limit: memory.usage.limit, pids } };
    },
  );
  assert.deepEqual(
    [seen.paused, seen.resumed],
    [
      ["1", "paused"],
      ["0", "running"],
    ],
  );
  assert.match(seen.delegated, /memory pids/);
}

/** True for a process that is gone, or only waited for. */
function hasEnded(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

const parentOf = (pid: number) =>
  Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^PPid:\s+(\d+)$/m)![1]);

/** True while it is in epoll_wait(2), with nothing to come back for by itself. */
const waitsWithoutEnd = (pid: number) =>
  /^\d+ \S+ \S+ \S+ 0xf+ /.test(readFileSync(`/proc/${pid}/syscall`, "utf8"));

/** Does what ends a container while its monitor is stopped, until systemd has removed its cgroup. */
async function whileMonitorStops(pid: number, end: () => void): Promise<void> {
  const monitor = parentOf(pid);
  const group = groupOf(pid);
  process.kill(monitor, "SIGSTOP");
  try {
    end();
    await until("the end of the cgroup", () => !existsSync(group));
  } finally {
    process.kill(monitor, "SIGCONT");
  }
}

/** A call of the Engine API, without a program for each. */
async function call(engine: Engine, method: string, path: string, body?: unknown) {
  const answer = await fetch(`http://docker${path}`, {
    unix: engine.socket,
    method,
    ...(body === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text;
}

async function dockerd(): Promise<void> {
  await using registry = await startTestRegistry();
  await using engine = await startEngine(["--exec-opt", "native.cgroupdriver=systemd", "--bridge=none"]);
  const get = async (path: string) => JSON.parse(await call(engine, "GET", path));
  const post = (path: string, body?: unknown) => call(engine, "POST", path, body);
  const container = async (name: string, words: string[], limits: Record<string, unknown>) => {
    const HostConfig = { NetworkMode: "none", ...limits };
    const made = await post(`/containers/create?name=${name}`, {
      Image: registry.busybox,
      Cmd: words,
      HostConfig,
    });
    await post(`/containers/${name}/start`);
    return JSON.parse(made).Id as string;
  };
  const state = async (name: string) => (await get(`/containers/${name}/json`)).State;
  const ended = async (name: string) => {
    const { StatusCode } = JSON.parse(await post(`/containers/${name}/wait`));
    return [StatusCode, (await state(name)).OOMKilled];
  };

  const info = await get("/info");
  assert.deepEqual([info.CgroupDriver, info.CgroupVersion], ["systemd", "2"]);
  await post(`/images/create?fromImage=${encodeURIComponent(registry.busybox)}`);
  const id = await container("main", ["sleep", "100000"], {
    Memory: 64 * megabyte,
    MemorySwap: 96 * megabyte,
    MemoryReservation: 32 * megabyte,
    NanoCpus: 500_000_000,
    CpuShares: 512,
    CpusetCpus: "0",
    PidsLimit: 30,
  });
  const scope = `docker-${id}.scope`;
  const group = join(mount, "system.slice", scope);
  const memory = [
    `memory.max=${64 * megabyte}`,
    `memory.swap.max=${32 * megabyte}`,
    `memory.low=${32 * megabyte}`,
  ];
  has(settings(group), ...memory, "cpu.max=50000 100000", "cpu.weight=20", "cpuset.cpus=0", "pids.max=30");
  const created = [
    "Slice=system.slice",
    `MemoryMax=${64 * megabyte}`,
    "CPUWeight=20",
    "TasksMax=30",
    "AllowedCPUs=0",
  ];
  has(await shown(scope, id), ...created);
  await post("/containers/main/update", {
    Memory: 48 * megabyte,
    MemorySwap: 48 * megabyte,
    NanoCpus: 250_000_000,
    PidsLimit: 35,
  });
  const updated = [`memory.max=${48 * megabyte}`, "memory.swap.max=0", "cpu.max=25000 100000", "pids.max=35"];
  has(settings(group), ...updated);
  const told = [`MemoryMax=${48 * megabyte}`, "MemorySwapMax=0", "TasksMax=35", "CPUQuotaPerSecUSec=250ms"];
  has(await shown(scope, id), ...told);
  const stats = await get("/containers/main/stats?stream=false&one-shot=true");
  assert.equal(stats.memory_stats.limit, 48 * megabyte);
  await post("/containers/main/pause");
  assert.equal(read(group, "cgroup.freeze"), "1");
  await post("/containers/main/unpause");
  await engine.restart();

  // Its monitor cannot look before systemd has taken the cgroup away with its counter.
  for (const [name, command, code] of [
    ["init", "exec tail /dev/zero", 137],
    ["child", "tail /dev/zero; exit 3", 3],
  ] as const) {
    const words = ["sh", "-c", `while [ ! -e /go ]; do sleep 0.1; done; ${command}`];
    await container(name, words, { Memory: 8 * megabyte });
    const { Pid } = await state(name);
    await whileMonitorStops(Pid, () => writeFileSync(`/proc/${Pid}/root/go`, ""));
    assert.deepEqual(await ended(name), [code, true], name);
  }
  // With both free to run.
  await container("free", ["tail", "/dev/zero"], { Memory: 8 * megabyte });
  assert.deepEqual(await ended("free"), [137, true]);

  // The slice has counted all of these: none is this container's, whose cgroup is gone as well when its monitor looks.
  const { Pid } = await state("main");
  await until("a look at the last of them", () => waitsWithoutEnd(parentOf(Pid)));
  await whileMonitorStops(Pid, () => process.kill(Pid, "SIGKILL"));
  assert.deepEqual(await ended("main"), [137, false]);

  const filters = encodeURIComponent(JSON.stringify({ event: ["oom"] }));
  const events = await call(
    engine,
    "GET",
    `/events?since=1&until=${Math.floor(Date.now() / 1000) + 1}&filters=${filters}`,
  );
  const names = events.split("\n").flatMap((line) => (line ? [JSON.parse(line).Actor.Attributes.name] : []));
  assert.deepEqual([...new Set(names)].sort(), ["child", "free", "init"]);

  await until("the scope's end", async () => !(await isLoaded(scope)));
  assert.ok(!existsSync(group), `${group} is still there`);
  await post("/containers/main/start");
  has(settings(group), ...updated);
  await call(engine, "DELETE", "/containers/main?force=true");
  assert.equal(await isLoaded(scope), false);
}

/** A pod as kubelet makes one: its slice below kubepods, with limits of its own; and what the server leaves of it. */
async function pod(cri: TestCri, handler: string): Promise<void> {
  const slice = `kubepods-burstable-pod${handler}.slice`;
  const options = { namespace_options: { network: 2 } };
  const linux = {
    cgroup_parent: `/kubepods.slice/kubepods-burstable.slice/${slice}`,
    security_context: options,
  };
  const file = cri.podFile(handler, { hostname: "", linux });
  const made = {
    id: await cri.ok("runp", ...(handler === "real" ? ["--runtime", handler] : []), file),
    file,
  };
  const limits = {
    memory_limit_in_bytes: 64 * megabyte,
    cpu_shares: 300,
    cpu_quota: 20_000,
    cpu_period: 100_000,
  };
  const unified = { "memory.high": String(60 * megabyte) };
  const id = await cri.container(made, `c-${handler}`, ["sleep", "100000"], {
    linux: { resources: { ...limits, cpuset_cpus: "0", unified } },
  });
  const scopes =
    (await ok(run(["systemctl", "list-units", "--plain", "--no-legend", "*.scope"]))).match(/^\S+/gm) ?? [];
  const scope = scopes.find((name) => name.includes(id));
  assert.ok(scope, `no scope for ${id} in ${scopes.join(" ")}`);
  const group = join(mount, "kubepods.slice/kubepods-burstable.slice", slice, scope);
  const files = [
    `memory.max=${64 * megabyte}`,
    `memory.high=${60 * megabyte}`,
    "cpu.max=20000 100000",
    "cpuset.cpus=0",
  ];
  has(settings(group), ...files);
  const properties = [`MemoryMax=${64 * megabyte}`, "CPUQuotaPerSecUSec=200ms", "AllowedCPUs=0"];
  has(await shown(scope, id), `Slice=${slice}`, ...properties);
  await cri.ok("update", "--memory", String(48 * megabyte), "--cpu-share", "400", id);
  has(settings(group), `memory.max=${48 * megabyte}`);
  has(await shown(scope, id), `MemoryMax=${48 * megabyte}`, "CPUWeight=16");
  const stats = JSON.parse(await cri.ok("stats", "-o", "json", id)).stats[0];
  assert.ok(Number(stats.memory.workingSetBytes.value) > 0, JSON.stringify(stats));
  const greedy = await cri.container(made, `greedy-${handler}`, ["tail", "/dev/zero"], {
    linux: { resources: { memory_limit_in_bytes: 24 * megabyte } },
  });
  const { reason, exitCode } = await until("the end", async () => {
    const { status } = JSON.parse(await cri.ok("inspect", greedy));
    return status.state === "CONTAINER_EXITED" && status;
  });
  assert.deepEqual([reason, exitCode], ["OOMKilled", 137]);
  await cri.ok("rmp", "-f", made.id);
  for (const one of scopes.filter((name) => name.includes(made.id) || name.includes(id)))
    assert.equal(await isLoaded(one), false, one);
  assert.ok(!existsSync(group), `${group} is still there`);
}

async function pods(kind: "corten" | "crio", more: string, handlers: readonly string[]): Promise<void> {
  await using cri = await startCri(kind, more);
  assert.match(await cri.ok("runtime-config"), /SYSTEMD/);
  await cri.ok("pull", cri.busybox);
  for (const handler of handlers) await pod(cri, handler);
}

const realRunc = `  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.real]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.real.options]
      SystemdCgroup = true
      BinaryName = "/usr/sbin/runc"
`;

export const scenarios: Record<string, () => Promise<void>> = {
  "limits and their changes are the real runc's": limits,
  "files of cgroup v2 by name are the real runc's": unifiedFiles,
  "freezer, signals, counters and delegation are the real runc's": life,
  "dockerd: limits, changes, and no OOM kill goes unseen": dockerd,
  "containerd's CRI, with our runtime and the real runc": () =>
    pods("corten", systemdPods["corten"]! + realRunc, ["ours", "real"]),
  "crio with cgroup_manager systemd": () => pods("crio", systemdPods["crio"]!, ["crio"]),
};

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  let failed = 0;
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
    const started = performance.now();
    try {
      await scenario();
      console.log(`ok ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${name}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  process.exit(failed > 0 ? 1 : 0);
}
