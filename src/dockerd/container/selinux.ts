import { realpathSync } from "node:fs";
import { internal, invalid, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { machinePolicy, optionsOf, SelinuxLabels, sharedLabel, volumeLabel } from "../../oci/selinux.ts";
import type { DaemonConfig } from "../config.ts";
import type { Daemon } from "../daemon.ts";
import type { SnapshotMount } from "../host.ts";
import { parseSecurityOptions } from "../spec/security.ts";
import type { ContainerRecord } from "./container.ts";
import { hostnamePath, hostsPath, resolvConfPath } from "./paths.ts";
import type { ContainerStore } from "./store.ts";

/** The labels of this daemon's containers; none without `--selinux-enabled` or on a machine without SELinux. */
export function openLabels({ selinux }: DaemonConfig, containers: ContainerStore): SelinuxLabels {
  const policy = selinux ? machinePolicy() : undefined;
  if (selinux && !policy) log.warn("Docker could not enable SELinux on the host system");
  const labels = new SelinuxLabels(policy);
  for (const { record } of containers.all()) labels.reserve(record.processLabel ?? "");
  return labels;
}

/** Gives a new container its labels: those asked for, or those of whose processes it sees, or its own. */
export function labelContainer(daemon: Daemon, record: ContainerRecord): void {
  if (!daemon.selinux.enabled) return;
  try {
    const { process, mount } = daemon.selinux.make(optionsFor(daemon, record));
    record.processLabel = process;
    record.mountLabel = mount;
  } catch (error) {
    throw invalid(messageOf(error), error);
  }
}

function optionsFor(daemon: Daemon, { host }: ContainerRecord): string[] {
  const { labels } = parseSecurityOptions(host.SecurityOpt ?? [], { noNewPrivileges: false });
  if (labels.length > 0) return labels;
  if (host.Privileged || host.PidMode === "host" || host.IpcMode === "host") return ["disable"];
  const shared = [host.IpcMode, host.PidMode].flatMap((mode) => {
    const other = mode.startsWith("container:") ? daemon.containers.find(mode.slice(10)) : undefined;
    return other ? [other.record.processLabel ?? ""] : [];
  });
  if (shared.length === 2 && shared[0] !== shared[1])
    throw new Error("--ipc and --pid containers SELinux labels aren't the same");
  return optionsOf(shared[0] ?? "");
}

/** Its level is free again, unless another container was given the same. */
export function releaseLabel(daemon: Daemon, { processLabel }: ContainerRecord): void {
  if (!processLabel) return;
  daemon.selinux.release(
    processLabel,
    daemon.containers.all().map(({ record }) => record.processLabel),
  );
}

/** A mount's option for the label of its files; quoted, since levels have commas. */
export const contextOption = (label: string | undefined): string[] => (label ? [`context="${label}"`] : []);

/** The root's mounts with the label of its files. */
export const labelledMounts = (mounts: SnapshotMount[], label: string | undefined): SnapshotMount[] =>
  label
    ? mounts.map((mount) => ({ ...mount, options: [...mount.options, ...contextOption(label)] }))
    : mounts;

/** Gives the files of binds and volumes with `z` or `Z` their label; `subpaths` says where parts of volumes are bound. */
export async function labelVolumes(
  daemon: Daemon,
  { mounts, mountLabel = "" }: ContainerRecord,
  subpaths: ReadonlyMap<string, string>,
): Promise<void> {
  for (const { type, mode, source, destination } of mounts) {
    const label = type === "tmpfs" ? "" : volumeLabel(mode, mountLabel);
    if (label === "") continue;
    const path = subpaths.get(destination) ?? source;
    try {
      await daemon.host.relabel(realpathSync(path), label);
    } catch (error) {
      throw internal(`error setting label on mount source '${path}': ${messageOf(error)}`, error);
    }
  }
}

/** A volume made for a container can be used by others that are given it. */
export const labelNewVolume = (daemon: Daemon, { mountLabel = "" }: ContainerRecord, path: string) =>
  daemon.host.relabel(path, sharedLabel(mountLabel));

/** The three files made for the container; those of one whose network is another's are seen by both. */
export async function labelFiles(daemon: Daemon, record: ContainerRecord): Promise<void> {
  const { id, mountLabel, host, mounts } = record;
  if (!mountLabel) return;
  const label = host.NetworkMode.startsWith("container:") ? sharedLabel(mountLabel) : mountLabel;
  const taken = new Set(mounts.map(({ destination }) => destination));
  for (const [destination, path] of [
    ["/etc/hosts", hostsPath],
    ["/etc/hostname", hostnamePath],
    ["/etc/resolv.conf", resolvConfPath],
  ] as const)
    if (!taken.has(destination))
      await daemon.host
        .relabel(path(daemon, id), label)
        .catch((error) => log.warn("a file has no label", { id, destination, error: messageOf(error) }));
}
