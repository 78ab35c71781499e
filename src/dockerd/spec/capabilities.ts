import { invalid } from "../../base/errors.ts";

/** Docker's default set, in its order. */
const defaults = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** Every capability by its number (linux/capability.h). */
export const allCapabilities = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

const known = new Set(allCapabilities);

/** `net_admin`, `CAP_NET_ADMIN` → `CAP_NET_ADMIN`; `ALL` stays. */
export function normalizeCapability(name: string): string {
  const upper = name.trim().toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!known.has(full)) throw invalid(`unknown capability: ${JSON.stringify(full)}`);
  return full;
}

/**
 * The capabilities of a container, of those the kernel would grant us. `available` is our bounding set: asking for
 * more makes an OCI runtime fail.
 */
export function capabilitiesOf(
  wanted: { privileged: boolean; add: readonly string[]; drop: readonly string[] },
  available: ReadonlySet<string>,
): string[] {
  if (wanted.privileged) return allCapabilities.filter((name) => available.has(name));
  const add = wanted.add.map(normalizeCapability);
  const drop = new Set(wanted.drop.map(normalizeCapability));
  let set: string[];
  if (add.includes("ALL")) set = allCapabilities.filter((name) => !drop.has(name));
  else {
    const base = drop.has("ALL") ? [] : defaults.filter((name) => !drop.has(name));
    set = [...base, ...add.filter((name) => !base.includes(name) && !drop.has(name))];
    if (drop.has("ALL")) set = add.filter((name, index) => add.indexOf(name) === index);
  }
  return set.filter((name) => available.has(name));
}

/** Names of the bits of a mask as /proc/self/status prints it. */
export function capabilitiesOfMask(hexadecimal: string): Set<string> {
  const mask = BigInt(`0x${hexadecimal}`);
  return new Set(allCapabilities.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
}
