/** Run by `underSystemd` as a service of a real systemd: `systemd.scenarios.ts NAME LAYOUT`. */
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { cgroupDirectoriesOf, cgroupLayout } from "../../src/sys/cgroup/index.ts";
import { type Bundle, makeBundle } from "../helpers/bundle.ts";
import { type CriKind, startCri } from "../helpers/cri.ts";
import { corten, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import type { SystemdLayout } from "../helpers/under-systemd.ts";

const megabyte = 1 << 20;
const properties = [
  "ActiveState",
  "Slice",
  "Delegate",
  "DefaultDependencies",
  "MemoryAccounting",
  "CPUAccounting",
  "TasksAccounting",
  "MemoryLimit",
  "MemoryMax",
  "TasksMax",
  "CPUShares",
  "CPUQuotaPerSecUSec",
  "CPUQuotaPeriodUSec",
  "AllowedCPUs",
  "DevicePolicy",
  "DeviceAllow",
  "TimeoutStopUSec",
];

/** A unit's properties, sorted; groups of devices by their number, as of systemd 240. */
async function unit(name: string): Promise<string[]> {
  const { stdout } = await run(["systemctl", "show", name, "-p", properties.join(",")]);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => line.replace("=char-pts ", "=char-136 "))
    .sort();
}

export async function isLoaded(name: string): Promise<boolean> {
  const { stdout } = await run(["systemctl", "list-units", "--all", "--plain", "--no-legend", name]);
  return stdout.includes(name);
}

const pathsOf = (pid: number | string) =>
  Object.entries(cgroupDirectoriesOf(cgroupLayout(), Number(pid))).sort(([a], [b]) => (a < b ? -1 : 1));

/** Succeeds with what was said on stdout. */
export async function ok(result: Promise<{ code: number; stdout: string; stderr: string }>): Promise<string> {
  const { code, stdout, stderr } = await result;
  assert.equal(code, 0, `${stdout}${stderr}`);
  return stdout.trim();
}

interface Life {
  created: string[];
  updated: string[];
  limits: string[];
}

/** One container from its beginning to its end; what systemd and the kernel say of it on the way. */
async function life(command: string[], layout: SystemdLayout, change?: (spec: Spec) => void): Promise<Life> {
  await using bundle: Bundle = makeBundle([...command, "--systemd-cgroup"]);
  const { id, runc } = bundle;
  const scope = `test-${id}.scope`;
  const v1 = layout === "hybrid";
  bundle.configure(["sleep", "100000"], (spec) => {
    spec.linux!.cgroupsPath = `ct-a.slice:test:${id}`;
    if (v1)
      Object.assign(spec.linux!.resources!, {
        memory: { limit: 64 * megabyte },
        cpu: { quota: 25_000, period: 50_000, shares: 512, cpus: "0" },
        pids: { limit: 40 },
      });
    spec.linux!.resources!.devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
    ];
    spec.annotations = { "org.systemd.property.TimeoutStopSec": "uint32 7" };
    change?.(spec);
  });
  await ok(runc("run", "-d", id));
  const { pid } = JSON.parse(await ok(runc("state", id)));
  const created = await unit(scope);
  const mask = (text: string) => text.replaceAll(id, "ID");
  const all = pathsOf(pid);
  const place = `/ct.slice/ct-a.slice/${scope}`;
  // The real runc 1.1 leaves its process in the slice's devices cgroup.
  for (const [controller, path] of all)
    if (command.length > 1 || controller !== "devices")
      assert.ok(path.endsWith(place), `${controller} at ${path}`);
  assert.match(await ok(runc("exec", id, "cat", "/proc/self/cgroup")), new RegExp(`${scope}$`, "m"));
  if (v1) await ok(runc("update", "--pids-limit", "50", "--memory", String(80 * megabyte), id));
  const updated = await unit(scope);
  const read = (controller: string, file: string) =>
    readFileSync(join(cgroupLayout().mounts.get(controller)!.directory, place, file), "utf8").trim();
  const limits = v1
    ? [
        read("memory", "memory.limit_in_bytes"),
        read("pids", "pids.max"),
        read("cpu", "cpu.cfs_quota_us"),
        read("cpuset", "cpuset.cpus"),
        ...read("devices", "devices.list").split("\n").sort(),
      ]
    : [];
  await ok(runc("pause", id));
  await ok(runc("resume", id));
  await ok(runc("delete", "-f", id));
  assert.equal(await isLoaded(scope), false, `${scope} is still there`);
  for (const [, path] of all) assert.ok(!existsSync(path), `${path} is still there`);
  return { created: created.map(mask), updated, limits };
}

async function sameAsRunc(layout: SystemdLayout): Promise<void> {
  const ours = await life([...corten, "runc"], layout);
  const theirs = await life(["runc"], layout);
  assert.ok(ours.created.includes("Slice=ct-a.slice"), ours.created.join("\n"));
  assert.ok(ours.created.includes("TimeoutStopUSec=7s"), ours.created.join("\n"));
  assert.deepEqual(ours.created, theirs.created);
  assert.deepEqual(ours.updated, theirs.updated);
  assert.deepEqual(ours.limits, theirs.limits);
}

/** A user namespace of its own: the process could not join a cgroup of the host by itself. */
async function userNamespace(layout: SystemdLayout): Promise<void> {
  await life([...corten, "runc"], layout, (spec) => {
    spec.linux!.namespaces!.push({ type: "user" });
    const mapping = { containerID: 0, hostID: 0, size: 65_536 };
    Object.assign(spec.linux!, { uidMappings: [mapping], gidMappings: [mapping] });
  });
}

async function failures(): Promise<void> {
  await using bundle = makeBundle([...corten, "runc", "--systemd-cgroup"]);
  const { id, runc } = bundle;
  const scope = `test-${id}.scope`;
  const attempt = async (change: (spec: Spec) => void, args = ["sleep", "100000"], name = id) => {
    bundle.configure(args, (spec) => {
      spec.linux!.cgroupsPath = `ct-a.slice:test:${id}`;
      change(spec);
    });
    const { code, stderr } = await runc("run", "-d", name);
    assert.notEqual(code, 0);
    return stderr;
  };
  assert.match(await attempt(() => {}, ["nosuch"]), /nosuch/);
  assert.equal(await isLoaded(scope), false, "the unit of a container that could not start");
  assert.match(
    await attempt((spec) => {
      spec.annotations = { "org.systemd.property.NoSuchProperty": "true" };
    }),
    /unable to start unit.*NoSuchProperty/,
  );
  assert.equal(await isLoaded(scope), false, "the unit with a wrong property");
  const path = (cgroupsPath: string) => (spec: Spec) => {
    spec.linux!.cgroupsPath = cgroupsPath;
  };
  assert.match(await attempt(path("/some/path")), /slice:prefix:name/);
  assert.match(await attempt(path("a--b.slice:p:n")), /invalid slice name: a--b.slice/);
  // A name that is taken.
  bundle.configure(["sleep", "100000"], path(`ct-a.slice:test:${id}`));
  await ok(runc("run", "-d", id));
  assert.match(await attempt(() => {}, ["sleep", "1"], `${id}-second`), /unable to start unit/);
  assert.ok(await isLoaded(scope), "the first one's unit");
  assert.equal(JSON.parse(await ok(runc("state", id))).status, "running");
  assert.ok((await unit(scope)).includes("ActiveState=active"), "the first one's unit is being stopped");
  // One whose process ends by itself leaves no unit behind, whether it is deleted or not.
  await ok(runc("kill", id, "KILL"));
  await until("the scope's end", async () => !(await isLoaded(scope)));
  await ok(runc("delete", id));
}

async function dockerd(): Promise<void> {
  await using registry = await startTestRegistry();
  await using engine = await startEngine(["--exec-opt", "native.cgroupdriver=systemd", "--bridge=none"]);
  const docker = (...argv: string[]) => ok(engine.corten(...argv));
  assert.equal(await docker("info", "--format", "{{.CgroupDriver}}"), "systemd");
  const id = await docker(
    ...[
      "run",
      "-d",
      "--network",
      "none",
      "-m",
      "64m",
      "--pids-limit",
      "30",
      registry.busybox,
      "sleep",
      "100000",
    ],
  );
  const shown = await unit(`docker-${id}.scope`);
  for (const line of ["Slice=system.slice", `MemoryLimit=${64 * megabyte}`, "TasksMax=30"])
    assert.ok(shown.includes(line), `${line} in\n${shown.join("\n")}`);
  await docker("update", "--pids-limit", "35", id);
  assert.ok((await unit(`docker-${id}.scope`)).includes("TasksMax=35"));
  assert.match(await docker("exec", id, "cat", "/proc/self/cgroup"), new RegExp(`docker-${id}.scope`));
  assert.match(await docker("stats", "--no-stream", "--format", "{{.MemUsage}}", id), /\/ 64MiB/);
  await engine.restart();
  await docker("stop", "-t", "0", id);
  await until("the scope's end", async () => !(await isLoaded(`docker-${id}.scope`)));
  await docker("start", id);
  assert.ok(await isLoaded(`docker-${id}.scope`));
  await docker("rm", "-f", id);
  assert.equal(await isLoaded(`docker-${id}.scope`), false);

  const below = ["run", "--rm", "--network", "none", "--cgroup-parent"];
  assert.match(
    await docker(...below, "ct-b.slice", registry.busybox, "cat", "/proc/self/cgroup"),
    /pids:\/ct\.slice\/ct-b\.slice\/docker-\w+\.scope/,
  );
  const wrong = await engine.corten(...below, "/docker", registry.busybox, "true");
  assert.match(wrong.stderr, /cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"/);
}

export const systemdPods: Record<string, string> = {
  corten: `  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
`,
  crio: '[crio.runtime]\ncgroup_manager = "systemd"\n',
  dockershim: "--exec-opt native.cgroupdriver=systemd",
};

/** A pod and its container in scopes of the slice that kubelet names by its path. */
async function pods(kind: CriKind): Promise<void> {
  await ok(run(["ip", "link", "set", "lo", "up"]));
  await using cri = await startCri(kind, systemdPods[kind]!);
  assert.match(await cri.ok("runtime-config"), /SYSTEMD/);
  await cri.ok("pull", cri.busybox);
  const linux = { cgroup_parent: "/kubepods.slice/kubepods-podx.slice" };
  const pod = await cri.pod("one", { linux });
  const id = await cri.container(pod, "c", ["sleep", "100000"], {
    linux: { resources: { memory_limit_in_bytes: 64 * megabyte, cpu_shares: 300 } },
  });
  const { stdout } = await run(["systemctl", "list-units", "--plain", "--no-legend", "*.scope"]);
  const scopes = stdout.split("\n").flatMap((line) => line.match(/^\S+(?=.*)/)?.[0] ?? []);
  const scope = scopes.find((name) => name.includes(id));
  assert.ok(scope, `no scope for ${id} in ${scopes.join(" ")}`);
  const shown = await unit(scope);
  for (const line of ["Slice=kubepods-podx.slice", `MemoryLimit=${64 * megabyte}`, "CPUShares=300"])
    assert.ok(shown.includes(line), `${line} in\n${shown.join("\n")}`);
  const cgroup = await cri.ok("exec", id, "cat", "/proc/self/cgroup");
  assert.ok(cgroup.includes(`/kubepods.slice/kubepods-podx.slice/${scope}`), cgroup);
  await cri.ok("update", "--cpu-share", "400", id);
  assert.ok((await unit(scope)).includes("CPUShares=400"));
  const stats = JSON.parse(await cri.ok("stats", "-o", "json", id)).stats[0];
  assert.ok(Number(stats.memory.workingSetBytes.value) > 0, JSON.stringify(stats));
  await cri.ok("rmp", "-f", pod.id);
  assert.equal(await isLoaded(scope), false);
  const left = scopes.filter((name) => name.includes(pod.id));
  for (const one of left) assert.equal(await isLoaded(one), false, one);
}

export const scenarios: Record<string, (layout: SystemdLayout) => Promise<void>> = {
  "runc's units and cgroups are the real runc's": sameAsRunc,
  "a container with a user namespace of its own": userNamespace,
  "what fails leaves no unit": failures,
  "dockerd with native.cgroupdriver=systemd": dockerd,
  "containerd's CRI with SystemdCgroup": () => pods("corten"),
  "crio with cgroup_manager systemd": () => pods("crio"),
  "dockershim on a dockerd with systemd": () => pods("dockershim"),
};

if (import.meta.main) {
  const [, script, name = "", layout] = process.argv;
  const scenario = scenarios[name];
  if (!scenario) throw new Error(`${basename(script!)}: no scenario ${name}`);
  await scenario(layout as SystemdLayout);
  process.exit(0);
}
