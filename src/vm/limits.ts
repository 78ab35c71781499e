/** Limits and counters of what runs in a machine, through its agent. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unimplemented } from "../base/errors.ts";
import type { LinuxResources } from "../oci/runtime-spec.ts";
import { type CgroupStats, readStats } from "../sys/cgroup/index.ts";
import { readInGuest, writeInGuest } from "./client.ts";
import { outerResources } from "./outer.ts";
import { directoryOf, loadRecord, placeOf, saveRecord, withAgent } from "./record.ts";
import { guestLimits, guestProcessors } from "./size.ts";

/** Limits of a running machine: what can change without another machine does, the rest is refused. */
export async function updateMachine(
  bundle: string,
  resources: LinuxResources,
  outer: (resources: LinuxResources) => Promise<void>,
): Promise<void> {
  const record = loadRecord(bundle);
  const limit = Number(resources.memory?.limit ?? 0);
  if (limit > record.memory * 2 ** 20)
    throw unimplemented(
      `--runtime vm: the machine was made with ${record.memory} MiB of memory; a limit above that needs a new one`,
    );
  // Of a pod's container nothing is outside but its proxy.
  if (!record.member) {
    const { cpu, blockIO } = outerResources(resources, record.memory, []);
    if (cpu || blockIO) await outer({ ...(cpu ? { cpu } : {}), ...(blockIO ? { blockIO } : {}) });
  }
  const files = [...guestLimits(resources), ...(record.member ? guestProcessors(resources.cpu) : [])];
  await withAgent(bundle, record, async (socket) => {
    for (const [file, value] of files) await writeInGuest(socket, `${placeOf(record).cgroup}/${file}`, value);
  });
  saveRecord(bundle, { ...record, resources: { ...record.resources, ...resources } });
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
  const record = loadRecord(bundle);
  const { cgroup } = placeOf(record);
  const texts = await withAgent(bundle, record, (socket) =>
    readInGuest(
      socket,
      statFiles.map((file) => `${cgroup}/${file}`),
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

/** Whether a container is one of a pod's machine: its freezer is inside then, and signals for all of it go there. */
export const isMember = (bundle: string): boolean => loadRecord(bundle).member !== undefined;

/** Writes a file of the container's cgroup inside. */
export async function tellCgroup(bundle: string, file: string, value: string): Promise<void> {
  const record = loadRecord(bundle);
  await withAgent(bundle, record, (socket) =>
    writeInGuest(socket, `${placeOf(record).cgroup}/${file}`, value),
  );
}

/** Whether the freezer inside holds the container. */
export async function isFrozen(bundle: string): Promise<boolean> {
  const record = loadRecord(bundle);
  const [text] = await withAgent(bundle, record, (socket) =>
    readInGuest(socket, [`${placeOf(record).cgroup}/cgroup.freeze`]),
  );
  return text?.trim() === "1";
}
