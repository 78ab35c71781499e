/** Containers in virtual machines: what the shim's runtime of that name does (docs/vm.md). */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sleep } from "../base/async.ts";
import { CortenError, conflict, isCode, messageOf, unimplemented } from "../base/errors.ts";
import type { LinuxResources, Process, Spec } from "../oci/runtime-spec.ts";
import { rootfsOf } from "../runc/bundle.ts";
import { containerPasswd } from "../runc/compile/environment.ts";
import { filterCache } from "../runc/create.ts";
import { cachedFilter } from "../runc/seccomp/cache.ts";
import type { Warn } from "../runc/types.ts";
import { type CgroupStats, readStats } from "../sys/cgroup/index.ts";
import { readInGuest, writeInGuest } from "./client.ts";
import { bootFiles } from "./initramfs.ts";
import { findKernel } from "./kernel.ts";
import { kvmRunsGuests } from "./kvm.ts";
import type { Machine } from "./machine.ts";
import { type AttachedNetwork, attachNetwork } from "./network.ts";
import { type GuestProcess, guestExec, guestInit } from "./plan.ts";
import { qemu } from "./qemu.ts";
import { mkdirRequest, netlinkRequest, writeRequest } from "./request.ts";
import { missing, vmSettings } from "./settings.ts";
import { guestLimits, machineSize } from "./size.ts";
import { checkForMachine, guestCgroup, guestSpec, machineUser, outerResources, outerSpec } from "./spec.ts";
import { listenForOutcome } from "./start.ts";
import { findFileServer } from "./virtiofsd.ts";

/** What is kept beside the bundle, for a daemon that was started anew. */
interface Record {
  version: 1;
  memory: number;
  cpus: number;
  original: Spec;
  spec: Spec;
  rootfs: string;
  resources: LinuxResources;
  /** The first process's number inside, once it runs. */
  pid?: number;
}

const directoryOf = (bundle: string) => join(bundle, "vm");

let trying: Promise<boolean> | undefined;

/** The machine of this host and settings. */
export function machineOf(): Machine {
  const settings = vmSettings();
  const machine = qemu(settings, () => {
    trying ??= (async () => {
      const program = machine.program();
      if (program === undefined) return false;
      return kvmRunsGuests(program, await bootFiles(findKernel(settings), settings.cache), settings.cache);
    })();
    return trying;
  });
  return machine;
}

/** Makes what the machine's container needs, and returns that one's configuration. */
export async function prepare(id: string, bundle: string, spec: Spec): Promise<Spec> {
  checkForMachine(spec);
  const settings = vmSettings();
  const machine = machineOf();
  if (!machine.program()) throw missing("qemu-system-x86_64 is not installed (Debian: qemu-system-x86)");
  findFileServer();
  const boot = await bootFiles(findKernel(settings), settings.cache);
  const rootfs = rootfsOf(spec, bundle);
  const directory = directoryOf(bundle);
  mkdirSync(join(directory, "vm"), { recursive: true, mode: 0o755 });
  const root = join(directory, "root");
  for (const name of ["usr", "vm", "shared", "proc", "dev", "tmp"])
    mkdirSync(join(root, name), { recursive: true });
  for (const name of ["lib", "lib64", "bin", "sbin"]) symlinkSync(`usr/${name}`, join(root, name));
  const { spec: inside, shares } = guestSpec(spec);
  const resources = spec.linux?.resources ?? {};
  const size = machineSize(resources, settings);
  save(bundle, { version: 1, ...size, original: spec, spec: inside, rootfs, resources });
  return outerSpec({
    id,
    spec,
    shares,
    rootfs,
    directory,
    boot,
    devices: machine.devices(await machine.acceleration()),
    memory: size.memory,
  });
}

/** Starts the machine whose container waits at its gate, which `open` opens, and in it the container's process. */
export async function startMachine(
  input: { id: string; bundle: string; pid: number; warn: Warn },
  open: () => Promise<void>,
): Promise<void> {
  const { id, bundle, pid, warn } = input;
  const record = load(bundle);
  const machine = machineOf();
  const { networks, messages } = record.original.linux?.namespaces?.some(({ type }) => type === "network")
    ? await attachWhenFree(`/proc/${pid}/ns/net`)
    : { networks: [], messages: new Uint8Array() };
  const argv = machine.argv(
    {
      name: id,
      kernel: "/kernel",
      initramfs: "/initramfs",
      memory: record.memory,
      cpus: record.cpus,
      files: "/vm/files.sock",
      networks,
    },
    await machine.acceleration(),
  );
  const init = guestInit({
    name: "init",
    id,
    bundle,
    spec: record.spec,
    rootfs: record.rootfs,
    original: record.original,
    ...(await filterOf(record.spec)),
    warn,
  });
  const place = join(directoryOf(bundle), "vm");
  writeFileSync(join(place, "machine.argv"), argumentFile(argv), { mode: 0o600 });
  writeFileSync(join(place, "files.argv"), argumentFile(findFileServer()), { mode: 0o600 });
  writeFileSync(
    join(place, "request"),
    Buffer.concat([
      ...(messages.length > 0 ? [netlinkRequest(messages)] : []),
      writeRequest("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +cpuset +io +memory +pids"),
      mkdirRequest(guestCgroup),
      ...guestLimits(record.resources).map(([file, value]) => writeRequest(`${guestCgroup}/${file}`, value)),
      init.request,
    ]),
    { mode: 0o600 },
  );
  record.pid = await outcomeOf(place, "start.sock", init, open);
  save(bundle, record);
}

/** A pod's machine before this one may be ending still: its tap tells a moment later. */
async function attachWhenFree(netns: string): Promise<AttachedNetwork> {
  for (let left = 40; ; left--) {
    try {
      return attachNetwork(netns, machineUser);
    } catch (error) {
      if (!isCode(error, "unimplemented") || left === 0) throw error;
      await sleep(50);
    }
  }
}

/** One more process: what a proxy for it is to be, which `launch` starts in the machine's container. */
export async function execInMachine<T>(
  input: { id: string; bundle: string; process: Process; warn: Warn },
  launch: (proxy: Process) => Promise<T>,
): Promise<T> {
  const { id, bundle, process, warn } = input;
  const record = load(bundle);
  if (record.pid === undefined) throw conflict("cannot exec in a container that is not running");
  const name = `exec-${crypto.randomUUID().slice(0, 13)}`;
  const inside = guestExec({
    name,
    id,
    bundle,
    spec: record.spec,
    process,
    pid: record.pid,
    passwd: () => containerPasswd(record.original, record.rootfs),
    ...(await filterOf(record.spec)),
    warn,
  });
  const place = join(directoryOf(bundle), "vm");
  const request = join(place, name);
  writeFileSync(request, inside.request, { mode: 0o600 });
  try {
    let launched: T | undefined;
    await outcomeOf(place, `${name}.sock`, inside, async () => {
      launched = await launch({
        terminal: process.terminal ?? false,
        ...(process.consoleSize ? { consoleSize: process.consoleSize } : {}),
        user: { uid: 0, gid: 0 },
        args: ["/agent", "proxy", `/vm/${name}`, `/vm/${name}.sock`, inside.result],
        env: [],
        cwd: "/",
        noNewPrivileges: true,
        capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      });
    });
    return launched as T;
  } finally {
    rmSync(request, { force: true });
  }
}

/** Waits for what a proxy says, which `begin` starts; its process's number inside, or why there is none. */
async function outcomeOf(
  place: string,
  socket: string,
  inside: GuestProcess,
  begin: () => Promise<void>,
): Promise<number> {
  // A socket's path has 107 bytes, and bundles lie deep.
  const directory = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY);
  const listening = listenForOutcome(`/proc/self/fd/${directory}/${socket}`);
  try {
    await begin();
    const outcome = await listening.outcome.catch((error) => {
      throw new CortenError("unavailable", `${messageOf(error)}${consoleTail(place)}`, { cause: error });
    });
    if ("pid" in outcome) return outcome.pid;
    if ("words" in outcome) throw new CortenError("unknown", `${outcome.words}${consoleTail(place)}`);
    throw (
      inside.describe(outcome.area) ?? new CortenError("unknown", "the container's process was not started")
    );
  } finally {
    listening.close();
    closeSync(directory);
  }
}

/** The end of what the machine and the server of files said, for an error. */
function consoleTail(place: string): string {
  const lines = ["console.log", "files.log"].flatMap((name) => {
    try {
      const text = readFileSync(join(place, name), "latin1").slice(-4096);
      return text
        .replace(/[^\x20-\x7e\n]/g, "")
        .trim()
        .split("\n")
        .filter(Boolean)
        .slice(-3);
    } catch {
      return [];
    }
  });
  return lines.length > 0 ? ` (${lines.join("; ")})` : "";
}

/** Limits of a running machine: what can change without another machine does, the rest is refused. */
export async function updateMachine(
  bundle: string,
  resources: LinuxResources,
  outer: (resources: LinuxResources) => Promise<void>,
): Promise<void> {
  const record = load(bundle);
  const limit = Number(resources.memory?.limit ?? 0);
  if (limit > record.memory * 2 ** 20)
    throw unimplemented(
      `--runtime vm: the machine was made with ${record.memory} MiB of memory; a limit above that needs a new one`,
    );
  const { cpu, blockIO } = outerResources(resources, record.memory, []);
  if (cpu || blockIO) await outer({ ...(cpu ? { cpu } : {}), ...(blockIO ? { blockIO } : {}) });
  await withSocket(bundle, async (socket) => {
    for (const [file, value] of guestLimits(resources))
      await writeInGuest(socket, `${guestCgroup}/${file}`, value);
  });
  save(bundle, { ...record, resources: { ...record.resources, ...resources } });
}

const statFiles = [
  "cpu.stat",
  "memory.current",
  "memory.peak",
  "memory.max",
  "memory.stat",
  "memory.events",
  "memory.swap.current",
  "memory.swap.max",
  "pids.current",
  "pids.max",
  "io.stat",
];

/** The counters of the container's cgroup inside the machine. */
export async function machineStats(bundle: string): Promise<CgroupStats> {
  const texts = await withSocket(bundle, (socket) =>
    readInGuest(
      socket,
      statFiles.map((file) => `${guestCgroup}/${file}`),
    ),
  );
  // In the form in which the host's own are read.
  const place = join(directoryOf(bundle), "stats");
  mkdirSync(place, { recursive: true, mode: 0o700 });
  for (const [index, file] of statFiles.entries()) {
    const text = texts[index];
    if (text === undefined) rmSync(join(place, file), { force: true });
    else writeFileSync(join(place, file), text);
  }
  return readStats({ "": place });
}

async function withSocket<T>(bundle: string, work: (socket: string) => Promise<T>): Promise<T> {
  const directory = openSync(join(directoryOf(bundle), "vm"), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await work(`/proc/self/fd/${directory}/agent.sock`);
  } finally {
    closeSync(directory);
  }
}

async function filterOf(spec: Spec) {
  const seccomp = spec.linux?.seccomp;
  return seccomp ? { filter: await cachedFilter(seccomp, filterCache()) } : {};
}

const argumentFile = (argv: readonly string[]) => argv.map((argument) => `${argument}\0`).join("");

function save(bundle: string, record: Record): void {
  writeFileSync(join(directoryOf(bundle), "vm.json"), JSON.stringify(record), { mode: 0o600 });
}

function load(bundle: string): Record {
  return JSON.parse(readFileSync(join(directoryOf(bundle), "vm.json"), "utf8")) as Record;
}
