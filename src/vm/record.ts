/** What is kept beside the bundle of a container in a machine, for a daemon that was started anew. */
import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LinuxResources, Spec } from "../oci/runtime-spec.ts";
import { type GuestPlace, memberPlace, ownPlace } from "./spec.ts";

export interface MachineRecord {
  version: 1;
  /** MiB of the machine. */
  memory: number;
  cpus: number;
  original: Spec;
  spec: Spec;
  rootfs: string;
  resources: LinuxResources;
  /** The first process's number inside, once it runs. */
  pid?: number;
  /** Of a container in a pod's machine: its id, and the bundle of what holds the pod. */
  member?: { id: string; pod: string };
}

export const directoryOf = (bundle: string): string => join(bundle, "vm");
/** What the container outside has as `/vm`: sockets, requests and logs. */
export const exchangeOf = (bundle: string): string => join(directoryOf(bundle), "vm");

export const placeOf = ({ member }: MachineRecord): GuestPlace =>
  member ? memberPlace(member.id) : ownPlace;

export function saveRecord(bundle: string, record: MachineRecord): void {
  writeFileSync(join(directoryOf(bundle), "vm.json"), JSON.stringify(record), { mode: 0o600 });
}

export function loadRecord(bundle: string): MachineRecord {
  return JSON.parse(readFileSync(join(directoryOf(bundle), "vm.json"), "utf8")) as MachineRecord;
}

/** The agent of the machine in which a bundle's container is. A socket's path has 107 bytes, and bundles lie deep. */
export async function withAgent<T>(
  bundle: string,
  record: MachineRecord,
  work: (socket: string) => Promise<T>,
): Promise<T> {
  const place = exchangeOf(record.member?.pod ?? bundle);
  const directory = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await work(`/proc/self/fd/${directory}/agent.sock`);
  } finally {
    closeSync(directory);
  }
}
