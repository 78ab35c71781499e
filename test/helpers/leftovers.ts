/** What an engine may leave on the machine: found after its end, and taken away after a failed test. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { kernelNames } from "../../src/network/names.ts";

/** Mounts and processes that still belong to an engine's root: those that name it, and those that run in its containers. */
export function leftovers(root: string): string[] {
  const found: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    if (line.includes(`${root}/`)) found.push(`mount ${line.split(" ")[4]}`);
  }
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      if (command.includes(`${root}/`)) found.push(`process ${pid} ${command}`);
      else if (readlinkSync(`/proc/${pid}/cwd`).startsWith(`${root}/`))
        found.push(`process ${pid} in ${root}`);
      else if (rootOf(pid).includes(`${root}/`)) found.push(`process ${pid} in a container: ${command}`);
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** The mount that is a process' root; other mounts of its namespace may be copies of anybody's. */
function rootOf(pid: string): string {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
  return lines.find((line) => line.split(" ")[4] === "/") ?? "";
}

/** Takes away what a failed test would leave, so that the next one starts clean. */
export function sweep(root: string): void {
  const cgroups = new Set<string>();
  for (const line of leftovers(root)) {
    const pid = line.match(/^process (\d+)/)?.[1];
    if (!pid) continue;
    try {
      if (line.includes(" in a container: ")) for (const path of cgroupsOf(pid)) cgroups.add(path);
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // Already gone.
    }
  }
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${root}/`));
  for (const path of mounts.reverse()) spawnSync("umount", ["-l", path]);
  for (const link of interfacesOf(root)) spawnSync("ip", ["link", "del", link], { stdio: "ignore" });
  const { table } = kernelNames(join(root, "lib"));
  spawnSync("nft", ["delete", "table", "ip", table], { stdio: "ignore" });
  for (const path of cgroups) {
    try {
      rmdirSync(path);
    } catch {
      // Its last process is still on its way out, or it is shared.
    }
  }
  rmSync(root, { recursive: true, force: true });
}

/** The directories of a container's cgroups, in every hierarchy. */
function cgroupsOf(pid: string): string[] {
  return readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, , controllers, path] = line.match(/^(\d+):([^:]*):(\/.*\/.+)$/) ?? [];
      if (path === undefined) return [];
      const name = controllers === "" ? "unified" : controllers!.replace(/^name=/, "");
      return [join("/sys/fs/cgroup", name, path), join("/sys/fs/cgroup", path)];
    });
}

/** Bridges of an engine, its own and its users', and its ends of containers' interfaces. */
export function interfacesOf(root: string): string[] {
  const { bridge, vethPrefix } = kernelNames(join(root, "lib"));
  const own = new Set([bridge, ...userBridges(root)]);
  return readdirSync("/sys/class/net").filter(
    (name) => own.has(name) || (name.startsWith(vethPrefix) && name.length === 15),
  );
}

/** A user's network is named by an id that only the engine's records know. */
function userBridges(root: string): string[] {
  const path = join(root, "lib/network/network.db");
  // What was written last may be in the log beside it alone.
  const files = [path, `${path}-wal`].filter((file) => existsSync(file));
  const ids = files.flatMap((file) => readFileSync(file, "latin1").match(/[0-9a-f]{64}/g) ?? []);
  return ids.map((id) => `br-${id.slice(0, 12)}`);
}
