import { readFileSync, readlinkSync } from "node:fs";

/** A process as nobody else can be: its number, the time it started at, and the namespace the number is from. */
export function ownIdentity(): string {
  return `${process.pid} ${startTime("self") ?? ""} ${pidNamespace()}`;
}

/** True when the process is certainly gone; one of another PID namespace cannot be judged from here. */
export function isGone(identity: string): boolean {
  const [pid = "", start = "", namespace] = identity.split(" ");
  if (!/^\d+$/.test(pid) || start === "" || namespace !== pidNamespace()) return false;
  return startTime(pid) !== start;
}

/** Field 22 of /proc/pid/stat; the name before it may hold anything. */
function startTime(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}
