import { readFileSync } from "node:fs";

/** One line of /proc/pid/mountinfo (proc_pid_mountinfo(5)). */
export interface MountInfo {
  id: number;
  parent: number;
  /** "major:minor" of files on it. */
  device: string;
  /** What of the file system is mounted here. */
  root: string;
  mountPoint: string;
  options: string[];
  /** `shared:1`, `master:2`, `propagate_from:3`, `unbindable`. */
  propagation: string[];
  fsType: string;
  source: string;
  superOptions: string[];
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescapePath(text: string): string {
  if (!text.includes("\\")) return text;
  const bytes = Buffer.from(text, "utf8");
  const out: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const octal = bytes[at] === 0x5c ? bytes.toString("latin1", at + 1, at + 4) : "";
    if (/^[0-3][0-7]{2}$/.test(octal)) {
      out.push(Number.parseInt(octal, 8));
      at += 3;
    } else out.push(bytes[at]!);
  }
  return Buffer.from(out).toString("utf8");
}

/** Parses mountinfo; lines that are malformed are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0 || fields.length < dash + 3) continue;
    mounts.push({
      id: Number(fields[0]),
      parent: Number(fields[1]),
      device: fields[2]!,
      root: unescapePath(fields[3]!),
      mountPoint: unescapePath(fields[4]!),
      options: fields[5]!.split(","),
      propagation: fields.slice(6, dash),
      fsType: fields[dash + 1]!,
      source: unescapePath(fields[dash + 2]!),
      superOptions: (fields[dash + 3] ?? "").split(",").map(unescapePath),
    });
  }
  return mounts;
}

/** The mounts of a process's mount namespace, in the order they were made. */
export function readMountInfo(pid: number | "self" = "self"): MountInfo[] {
  return parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
}
