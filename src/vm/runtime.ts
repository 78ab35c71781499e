/** Containers in virtual machines: what the shim's runtime of that name does (docs/vm.md). */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../base/async.ts";
import { conflict, isCode } from "../base/errors.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { rootfsOf } from "../runc/bundle.ts";
import type { Warn } from "../runc/types.ts";
import { filterOf } from "./filter.ts";
import { bootFiles } from "./initramfs.ts";
import { findKernel } from "./kernel.ts";
import { kvmRunsGuests } from "./kvm.ts";
import type { Machine } from "./machine.ts";
import { makeMembers } from "./members.ts";
import { type AttachedNetwork, attachNetwork } from "./network.ts";
import { outcomeOf } from "./outcome.ts";
import { machineUser, outerSpec } from "./outer.ts";
import { guestInit } from "./plan.ts";
import { qemu } from "./qemu.ts";
import { directoryOf, exchangeOf, loadRecord, type MachineRecord, placeOf, saveRecord } from "./record.ts";
import { mkdirRequest, netlinkRequest, writeRequest } from "./request.ts";
import { missing, vmSettings } from "./settings.ts";
import { guestLimits, machineSize } from "./size.ts";
import { checkForMachine, guestSpec, holdsPod, podMemory } from "./spec.ts";
import { findFileServer } from "./virtiofsd.ts";

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

/** Fails, in words for the user, on a host that has not what machines are run by. */
export function checkInstalled(machine: Machine): void {
  if (!machine.program()) throw missing("qemu-system-x86_64 is not installed (Debian: qemu-system-x86)");
  findFileServer();
}

/** The directories of the container outside: its root, and what it has as `/vm`. */
export function makeDirectories(bundle: string, more: readonly string[] = []): void {
  mkdirSync(exchangeOf(bundle), { recursive: true, mode: 0o755 });
  const root = join(directoryOf(bundle), "root");
  for (const name of ["vm", "proc", "dev", ...more]) mkdirSync(join(root, name), { recursive: true });
}

/**
 * Makes what the machine's container needs, and returns that one's configuration. What holds a pod has a machine like
 * any container; `root`, the runtime's, tells where its containers' files will be.
 */
export async function prepare(root: string, id: string, bundle: string, spec: Spec): Promise<Spec> {
  checkForMachine(spec);
  const settings = vmSettings();
  const machine = machineOf();
  checkInstalled(machine);
  const boot = await bootFiles(findKernel(settings), settings.cache);
  const rootfs = rootfsOf(spec, bundle);
  makeDirectories(bundle, ["usr", "shared", "tmp"]);
  for (const name of ["lib", "lib64", "bin", "sbin"])
    symlinkSync(`usr/${name}`, join(directoryOf(bundle), "root", name));
  const { spec: inside, shares } = guestSpec(spec);
  const resources = spec.linux?.resources ?? {};
  const size = machineSize(resources, settings);
  saveRecord(bundle, { version: 1, ...size, original: spec, spec: inside, rootfs, resources });
  return outerSpec({
    id,
    spec,
    shares,
    rootfs,
    directory: directoryOf(bundle),
    boot,
    devices: machine.devices(await machine.acceleration()),
    memory: size.memory,
    ...(holdsPod(spec) ? { members: makeMembers(root, id) } : {}),
  });
}

export interface Starting {
  id: string;
  bundle: string;
  /** Of the process that waits at its gate. */
  pid: number;
  warn: Warn;
}

/** Starts the machine whose container waits at its gate, which `open` opens, and in it the container's process. */
export async function startMachine(starting: Starting, open: () => Promise<void>): Promise<void> {
  const { id, bundle, pid } = starting;
  const record = loadRecord(bundle);
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
  const place = exchangeOf(bundle);
  writeFileSync(join(place, "machine.argv"), argumentFile(argv), { mode: 0o600 });
  writeFileSync(join(place, "files.argv"), argumentFile(findFileServer()), { mode: 0o600 });
  await startInside(
    starting,
    record,
    [
      ...(messages.length > 0 ? [netlinkRequest(messages)] : []),
      writeRequest("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +cpuset +io +memory +pids"),
      ...(holdsPod(record.original) ? [mkdirRequest(podMemory, 0o1777)] : []),
    ],
    guestLimits(record.resources),
    open,
  );
}

/** Starts a container's process in a machine, with a cgroup of its own, after what `before` asks for. */
export async function startInside(
  { id, bundle, warn }: Starting,
  record: MachineRecord,
  before: readonly Uint8Array[],
  limits: readonly [file: string, value: string][],
  open: () => Promise<void>,
): Promise<void> {
  if (record.pid !== undefined) throw conflict(`container ${id} was started before`);
  const place = placeOf(record);
  const init = guestInit({
    id,
    bundle,
    spec: record.spec,
    place,
    rootfs: record.rootfs,
    original: record.original,
    ...(await filterOf(record.spec)),
    warn,
  });
  const requests = [
    ...before,
    mkdirRequest(place.cgroup),
    ...limits.map(([file, value]) => writeRequest(`${place.cgroup}/${file}`, value)),
    init.request,
  ];
  const exchange = exchangeOf(bundle);
  writeFileSync(join(exchange, "request"), Buffer.concat(requests), { mode: 0o600 });
  const logs = exchangeOf(record.member?.pod ?? bundle);
  const pid = await outcomeOf({ place: exchange, logs, socket: "start.sock" }, init, open);
  saveRecord(bundle, { ...record, pid });
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

const argumentFile = (argv: readonly string[]) => argv.map((argument) => `${argument}\0`).join("");
