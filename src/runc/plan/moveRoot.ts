import { readFileSync } from "node:fs";

/**
 * The mounts that `moveRoot` has to take away: procfs and sysfs outside of the rootfs, newest first. They would stay
 * reachable below the covered root, and with them the right to mount new, unmasked ones.
 */
export function hiddenMounts(
  rootfs: string,
  mountinfo = readFileSync("/proc/self/mountinfo", "utf8"),
): string[] {
  const found: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const type = after?.split(" ")[0];
    if (type !== "proc" && type !== "sysfs") continue;
    const path = before!
      .split(" ")[4]!
      .replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
    if (path !== rootfs && !path.startsWith(`${rootfs}/`)) found.unshift(path);
  }
  return found;
}
