import { join } from "node:path";
import type { DaemonConfig } from "../config.ts";

type Roots = { config: Pick<DaemonConfig, "dataRoot" | "execRoot"> };

/** What a container keeps between runs: log and the files mounted into it. */
export const containerDirectory = (daemon: Roots, id: string) =>
  join(daemon.config.dataRoot, "containers", id);
/** The monitors of a container's processes; gone after a reboot. */
export const runDirectory = (daemon: Roots, id: string) => join(daemon.config.execRoot, "containers", id);
export const initDirectory = (daemon: Roots, id: string) => join(runDirectory(daemon, id), "init");
export const execDirectory = (daemon: Roots, id: string, exec: string) =>
  join(runDirectory(daemon, id), "execs", exec.slice(0, 16));

export const logPath = (daemon: Roots, id: string) => join(containerDirectory(daemon, id), `${id}-json.log`);
export const hostsPath = (daemon: Roots, id: string) => join(containerDirectory(daemon, id), "hosts");
export const hostnamePath = (daemon: Roots, id: string) => join(containerDirectory(daemon, id), "hostname");
export const resolvConfPath = (daemon: Roots, id: string) =>
  join(containerDirectory(daemon, id), "resolv.conf");
export const shmPath = (daemon: Roots, id: string) => join(containerDirectory(daemon, id), "mounts", "shm");
