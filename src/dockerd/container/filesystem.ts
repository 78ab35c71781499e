import { existsSync } from "node:fs";
import { vmRuntime } from "../config.ts";
import type { Daemon } from "../daemon.ts";
import type { RootfsTree } from "../host.ts";
import { byDepth } from "../spec/mounts.ts";
import type { Container } from "./container.ts";
import { hostnamePath, hostsPath, resolvConfPath } from "./paths.ts";

/** What Docker has in a layer below each container's own: places for what a start mounts, there before it. */
const placeholders: ReadonlyArray<readonly [path: string, kind: "directory" | "file" | { link: string }]> = [
  ["/dev/pts", "directory"],
  ["/dev/shm", "directory"],
  ["/proc", "directory"],
  ["/sys", "directory"],
  ["/.dockerenv", "file"],
  ["/etc/resolv.conf", "file"],
  ["/etc/hosts", "file"],
  ["/etc/hostname", "file"],
  ["/dev/console", "file"],
  ["/etc/mtab", { link: "/proc/mounts" }],
];

/** True for a path that is there for mounts only, and no change that a container made. */
export const isPlaceholder = (path: string): boolean => placeholders.some(([one]) => one === path);

/** The container's filesystem with its mounts, as the running process sees it or as a start would make it. */
export function withFilesystem<T>(
  daemon: Daemon,
  container: Container,
  work: (tree: RootfsTree) => Promise<T> | T,
): Promise<T> {
  const { state, snapshotter, id } = container.record;
  const binds = () => {
    const volumes = byDepth(container.record.mounts)
      .filter((mount) => mount.type !== "tmpfs" && existsSync(mount.source))
      .map(({ source, subpath, destination, writable }) => ({
        source,
        subpath,
        destination,
        readonly: !writable,
      }));
    return [...volumes, ...ownFiles(daemon, container, volumes)];
  };
  if (state.running && !state.restarting && state.pid > 0) {
    if (!inMachine(daemon, container)) return daemon.host.withProcessTree(state.pid, work);
    // The process outside has the machine's files; the container's are where the shim has mounted them.
    const source = daemon.host.machineRootfs(id);
    return daemon.host.withTree([{ type: "bind", source, options: ["rbind"] }], work, binds());
  }
  return daemon.locks.run(id, async () => {
    const { mounts } = await daemon.containerd.snapshots.mounts({ snapshotter, key: id });
    return daemon.host.withTree(
      mounts,
      (tree) => {
        makePlaceholders(tree);
        return work(tree);
      },
      binds(),
    );
  });
}

/** Whether the container runs in a virtual machine (docs/vm.md). */
export const inMachine = (daemon: Daemon, { record }: Container): boolean =>
  daemon.config.runtimes[record.host.Runtime]?.path === vmRuntime;

/** The three files made for a container when it started first; a volume over one of them goes before ours. */
function ownFiles(daemon: Daemon, container: Container, volumes: ReadonlyArray<{ destination: string }>) {
  const taken = new Set(volumes.map(({ destination }) => destination));
  return [
    { source: hostsPath(daemon, container.id), destination: "/etc/hosts" },
    { source: hostnamePath(daemon, container.id), destination: "/etc/hostname" },
    { source: resolvConfPath(daemon, container.id), destination: "/etc/resolv.conf" },
  ]
    .filter(({ source, destination }) => !taken.has(destination) && existsSync(source))
    .map((file) => ({ ...file, readonly: container.record.host.ReadonlyRootfs === true }));
}

/** Makes those that are missing. */
export function makePlaceholders(tree: RootfsTree): void {
  for (const [path, kind] of placeholders) {
    if (tree.stat(path, { follow: false })) continue;
    if (kind === "directory") tree.makeDirectory(path, 0o755, { uid: 0, gid: 0 });
    else if (kind === "file") tree.makeFile(path, 0o755);
    else tree.makeLink(path, kind.link);
  }
}
