/** A container in the machine of its pod. */
import { join } from "node:path";
import { conflict, unimplemented } from "../base/errors.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { rootfsOf } from "../runc/bundle.ts";
import { askAgent } from "./client.ts";
import { bootFiles } from "./initramfs.ts";
import { findKernel } from "./kernel.ts";
import { shareFiles, unshareFiles } from "./members.ts";
import { memberSpec } from "./outer.ts";
import { directoryOf, exchangeOf, loadRecord, placeOf, saveRecord, withAgent } from "./record.ts";
import { removeRequest } from "./request.ts";
import { makeDirectories, type Starting, startInside } from "./runtime.ts";
import { vmSettings } from "./settings.ts";
import { guestLimits, guestProcessors } from "./size.ts";
import { checkForMachine, guestSpec, memberPlace } from "./spec.ts";

/** For the guest to let go of a container's files: a machine that does not answer must not hold up a removal. */
const patience = 5000;

/** What holds the pod. */
export interface Pod {
  id: string;
  bundle: string;
  /** Of its process outside. */
  pid: number;
}

/** Shows the pod's machine the container's files, and returns the configuration of the container of its proxy. */
export async function prepareMember(
  root: string,
  id: string,
  bundle: string,
  spec: Spec,
  pod: Pod,
): Promise<Spec> {
  checkForMachine(spec);
  checkForPod(spec, pod);
  const holder = loadRecord(pod.bundle);
  if (holder.pid === undefined) throw conflict("the pod's machine does not run");
  const settings = vmSettings();
  const { agent } = await bootFiles(findKernel(settings), settings.cache);
  const rootfs = rootfsOf(spec, bundle);
  makeDirectories(bundle);
  const { spec: inside, shares } = guestSpec(spec, memberPlace(id), holder.pid);
  saveRecord(bundle, {
    version: 1,
    memory: holder.memory,
    cpus: holder.cpus,
    original: spec,
    spec: inside,
    rootfs,
    resources: spec.linux?.resources ?? {},
    member: { id, pod: pod.bundle },
  });
  shareFiles(root, { pod: pod.id, id }, rootfs, shares);
  return memberSpec({
    id,
    spec,
    directory: directoryOf(bundle),
    agent,
    pod: { pid: pod.pid, socket: join(exchangeOf(pod.bundle), "agent.sock") },
  });
}

function checkForPod(spec: Spec, pod: Pod): void {
  const pid = spec.linux?.namespaces?.find(({ type }) => type === "pid");
  if (pid?.path && pid.path !== `/proc/${pod.pid}/ns/pid`)
    throw unimplemented(
      "--runtime vm: the PID namespace of one container of the pod cannot be joined by another",
    );
}

export async function startMember(starting: Starting, open: () => Promise<void>): Promise<void> {
  const record = loadRecord(starting.bundle);
  const { resources, memory } = record;
  const limit = Number(resources.memory?.limit ?? 0);
  if (limit > memory * 2 ** 20)
    starting.warn(`the container's memory limit is above its pod's machine, which has ${memory} MiB`);
  await startInside(
    starting,
    record,
    [],
    [...guestLimits(resources), ...guestProcessors(resources.cpu)],
    open,
  );
}

/** Takes a container's files and its cgroup out of the machine, as far as the machine is there. */
export async function releaseMember(root: string, id: string, bundle: string, pod: string): Promise<void> {
  const record = loadRecord(bundle);
  const { files, cgroup } = placeOf(record);
  const shared = ["rootfs", ...guestSpec(record.original).shares.map(({ name }) => name)];
  const requests = [...shared.map((name) => `${files}/${name}`), cgroup].map(removeRequest);
  // A machine that has ended has let go of everything.
  await withAgent(bundle, record, (socket) => askAgent(socket, requests, patience)).catch(() => {});
  unshareFiles(root, { pod, id });
}
