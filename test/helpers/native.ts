/** A busybox rootfs and plans on it, for tests of the native part alone (no OCI bundle, no compiler). */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import type { EncodedPlan } from "../../src/monitor/index.ts";
import { PlanBuilder, type PlannedOperation } from "../../src/runc/plan/encode.ts";

const repository = normalize(join(import.meta.dir, "../.."));

/** Builds what is not up to date and gives the path; one at a time, as tests of other files need the same at the same moment. */
export function makeNative(name: string): string {
  const native = join(repository, "native");
  const argv = [native, "make", "-s", "-C", native, `../dist/${name}`];
  const { status, stderr } = spawnSync("flock", argv, { encoding: "utf8" });
  if (status !== 0) throw new Error(`make ${name}: ${stderr}`);
  return join(repository, "dist", name);
}

/** The binary that ships and the one with sanitizers. */
export function nativeBinaries(): { shipped: string; sanitized: string } {
  return { shipped: makeNative("corten-native"), sanitized: makeNative("corten-native-asan") };
}

const applets =
  "sh cat echo sleep id mount ls tty stty head dd true kill ps ip hostname env pwd readlink".split(" ");

/** Collects what the sanitizers say; `text` is empty when all is well. */
export function sanitizerReports(): { text(): string; remove(): void } {
  const path = join(mkdtempSync(join(tmpdir(), "corten-native-report-")), "report");
  process.env["CORTEN_NATIVE_STDERR"] = path;
  return {
    text: () => (existsSync(path) ? readFileSync(path, "utf8") : ""),
    remove() {
      delete process.env["CORTEN_NATIVE_STDERR"];
      rmSync(join(path, ".."), { recursive: true, force: true });
    },
  };
}

/** A directory of the test's own with a rootfs in it. */
export function sandbox(): { dir: string; rootfs: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), "corten-native-"));
  const rootfs = join(dir, "rootfs");
  for (const name of ["bin", "proc", "dev", "etc", "tmp"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
  for (const name of applets) symlinkSync("busybox", join(rootfs, "bin", name));
  return {
    dir,
    rootfs,
    remove() {
      // A monitor that has told its exit still has to end; what it takes away itself makes the removal stop, and say nothing.
      for (const end = Date.now() + 10_000; existsSync(dir) && Date.now() < end; Bun.sleepSync(5))
        rmSync(dir, { recursive: true, force: true });
    },
  };
}

export const cloneFlags = {
  mount: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
};
export const allNamespaces =
  cloneFlags.mount |
  cloneFlags.cgroup |
  cloneFlags.uts |
  cloneFlags.ipc |
  cloneFlags.pid |
  cloneFlags.network;
const recursiveSlave = (1 << 19) | 0x4000;
const openPath = 0o10000000;
const openDirectory = 0o200000;

export interface PlanOptions {
  rootfs: string;
  argv: string[];
  /** Allocates a pty for the process. */
  terminal?: boolean;
  /** The terminal's, from the start; the monitor's own setting of it races with the program. */
  size?: { rows: number; columns: number };
  /** An O_PATH descriptor of a FIFO to wait at. */
  gate?: number;
  /** Inserted after the mounts, before pivot_root, with the rootfs' slot. */
  before?: (root: number, slot: () => number) => PlannedOperation[];
  /** Inserted after pivot_root. */
  after?: (root: number, slot: () => number) => PlannedOperation[];
  namespaces?: number;
  classicMounts?: boolean;
}

/** What a small container needs, in the order of a real plan. */
export function containerPlan(options: PlanOptions): EncodedPlan {
  const plan = new PlanBuilder();
  const gate = options.gate === undefined ? undefined : plan.fd(options.gate);
  const root = plan.slot();
  const slot = () => plan.slot();
  plan.add(
    { op: "clone", flags: options.namespaces ?? allNamespaces },
    { op: "propagation", path: "/", flags: recursiveSlave },
    { op: "bind", source: options.rootfs, path: options.rootfs, recursive: 1 },
    { op: "open", role: "child", out: root, path: options.rootfs, flags: openPath | openDirectory },
    { op: "mount", root, path: "/proc", fstype: "proc", attributes: 0xe, strict: 1 },
    { op: "mount", root, path: "/dev", fstype: "tmpfs", options: ["mode=755", "size=64k"], attributes: 2 },
    { op: "mknod", root, path: "/dev/null", mode: 0o20666, major: 1, minor: 3 },
    {
      op: "mount",
      root,
      path: "/dev/pts",
      fstype: "devpts",
      options: ["newinstance", "ptmxmode=0666", "mode=0620"],
      attributes: 0xa,
    },
    ...(options.before?.(root, slot) ?? []),
    { op: "pivotRoot", root },
    { op: "hostname", name: "box" },
    ...(options.after?.(root, slot) ?? []),
  );
  if (options.terminal)
    plan.add({ op: "console", root, ...(options.size ?? { rows: 25, columns: 80 }), bindConsole: 1 });
  else plan.add({ op: "setsid" });
  plan.add({ op: "chdir", path: "/" }, { op: "lookup", file: options.argv[0]!, pathEnv: "/bin" });
  if (gate !== undefined) plan.add({ op: "gate", fifo: gate });
  plan.add({ op: "exec", argv: options.argv, env: ["PATH=/bin"] });
  const encoded = plan.encode();
  if (options.classicMounts) encoded.bytes[24] = 1;
  return encoded;
}

/** Joins all namespaces of a process by its pidfd and runs a program there. */
export function execPlan(pidfd: number, argv: string[], terminal = false): EncodedPlan {
  const plan = new PlanBuilder();
  const target = plan.fd(pidfd);
  const root = plan.slot();
  plan.add(
    { op: "setns", role: "stage", fd: target, flags: allNamespaces },
    { op: "clone", flags: 0 },
    { op: "open", role: "child", out: root, path: "/", flags: openPath | openDirectory },
  );
  if (terminal) plan.add({ op: "console", root, rows: 10, columns: 40 });
  plan.add(
    { op: "chdir", path: "/" },
    { op: "lookup", file: argv[0]!, pathEnv: "/bin" },
    { op: "exec", argv, env: ["PATH=/bin"] },
  );
  return plan.encode();
}
