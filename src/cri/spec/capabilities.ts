import { readFileSync } from "node:fs";
import { invalid } from "../../base/errors.ts";

/** Every capability by its number (linux/capability.h). */
const names = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

const known = new Set(names);

/** What containerd gives a container that asks for nothing. */
const defaults = (
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL " +
  "AUDIT_WRITE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

let bounding: ReadonlySet<string> | undefined;

/** Our own bounding set: an OCI runtime fails when asked for more. */
export function ownCapabilities(): ReadonlySet<string> {
  if (!bounding) {
    const mask = BigInt(
      `0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`,
    );
    bounding = new Set(names.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
  }
  return bounding;
}

export interface CapabilityWish {
  privileged: boolean;
  add: readonly string[];
  drop: readonly string[];
  /** What is there before; absent: containerd's. */
  defaults?: readonly string[];
}

/** `ALL` counts first, single names after it, whichever list they are in; what we have not ourselves is left out. */
export function capabilitiesOf(
  wish: CapabilityWish,
  available: ReadonlySet<string> = ownCapabilities(),
): string[] {
  if (wish.privileged) return names.filter((name) => available.has(name));
  const add = wish.add.map(fullName);
  const drop = wish.drop.map(fullName);
  let set = new Set(wish.defaults?.map(fullName) ?? defaults);
  if (add.includes("ALL")) set = new Set(names);
  if (drop.includes("ALL")) set = new Set();
  for (const name of add) if (name !== "ALL") set.add(name);
  for (const name of drop) set.delete(name);
  return [...set].filter((name) => available.has(name));
}

export function fullName(name: string): string {
  const upper = name.trim().toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!known.has(full)) throw invalid(`unknown capability ${JSON.stringify(name)}`);
  return full;
}
