import type { PlannedOperation } from "./encode.ts";

const namespaceNames: ReadonlyArray<readonly [bigint, string]> = [
  [0x00020000n, "mount"],
  [0x02000000n, "cgroup"],
  [0x04000000n, "uts"],
  [0x08000000n, "ipc"],
  [0x10000000n, "user"],
  [0x20000000n, "pid"],
  [0x40000000n, "network"],
  [0x00000080n, "time"],
];

function namespaces(flags: number | bigint): string {
  const names = namespaceNames.filter(([bit]) => (BigInt(flags) & bit) !== 0n).map(([, name]) => name);
  return names.length > 0 ? `${names.join(", ")} namespace${names.length > 1 ? "s" : ""}` : "no namespace";
}

const attributeNames: ReadonlyArray<readonly [bigint, string]> = [
  [0x1n, "ro"],
  [0x2n, "nosuid"],
  [0x4n, "nodev"],
  [0x8n, "noexec"],
  [0x10n, "noatime"],
  [0x20n, "strictatime"],
  [0x80n, "nodiratime"],
  [0x200000n, "nosymfollow"],
];

function attributes(set: number | bigint | undefined, more: readonly string[] = []): string {
  const bits = BigInt(set ?? 0);
  const names = [...attributeNames.filter(([bit]) => (bits & bit) !== 0n).map(([, name]) => name), ...more];
  return names.length > 0 ? ` (${names.join(",")})` : "";
}

const resources = [
  "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE",
  "RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME",
]
  .join(" ")
  .split(" ");

const hex = (value: number | bigint) => `0x${BigInt(value).toString(16)}`;
const octal = (value: number) => `0${value.toString(8)}`;
/** What an operation does, in the words of an error message: `mount proc at /proc (nosuid,noexec,nodev)`. */
export function describe(o: PlannedOperation): string {
  switch (o.op) {
    case "clone":
      return `create the process in new ${namespaces(o.flags)}`;
    case "setns":
      return `join ${namespaces(o.flags)}`;
    case "unshare":
      return `unshare ${namespaces(o.flags)}`;
    case "idMap":
      return `map users ${o.uidMap.trim().replaceAll("\n", "; ")} and groups ${o.gidMap.trim().replaceAll("\n", "; ")}`;
    case "userNamespace":
      return `make a user namespace for an idmapped mount: ${o.uidMap.trim().replaceAll("\n", "; ")}`;
    case "joinCgroup":
      return `join cgroup ${o.path || `by descriptor ${o.file}`}`;
    case "procWrite":
      return `write ${JSON.stringify(o.data)} to /proc/${o.global ? "" : "<pid>/"}${o.path}`;
    case "sysctl":
      return `sysctl ${o.path.replaceAll("/", ".")}=${o.value}`;
    case "open":
      return `open ${o.path}`;
    case "connect":
      return `connect to ${o.path}`;
    case "openTree":
      return `open mount source ${o.path}${o.idmap === undefined ? "" : ", idmapped"}`;
    case "close":
      return `close descriptor ${o.fd}`;
    case "dumpable":
      return `set dumpable ${o.value}`;
    case "propagation":
      return `set propagation ${hex(o.flags)} of ${o.path}`;
    case "parentPrivate":
      return `make the parent mount of ${o.path} private`;
    case "mount":
      return `mount ${o.source && o.source !== o.fstype ? `${o.source} (${o.fstype})` : o.fstype} at ${o.path}${attributes(o.attributes, o.options)}`;
    case "bind":
      return `bind ${o.source || "prepared source"} at ${o.path}${attributes(o.set, o.recursive ? ["rbind"] : [])}`;
    case "remount":
      return `remount ${o.path}${attributes(o.set)}`;
    case "unmount":
      return `unmount ${o.path}`;
    case "pivotRoot":
      return "pivot_root into the rootfs";
    case "moveRoot":
      return `move ${o.path} over /`;
    case "chroot":
      return "chroot into the rootfs";
    case "mkdir":
      return `make directory ${o.path}`;
    case "mknod":
      return `make node ${o.path} (${o.major ?? 0}:${o.minor ?? 0}, mode ${octal(o.mode & 0o7777)})`;
    case "symlink":
      return `link ${o.path} to ${o.target}`;
    case "maskPath":
      return `mask ${o.path}`;
    case "readonlyPath":
      return `make ${o.path} read-only`;
    case "hostname":
      return `set hostname ${o.name}`;
    case "domainname":
      return `set domain name ${o.name}`;
    case "linkUp":
      return `set link ${o.name} up`;
    case "netlink":
      return o.what || "send a netlink request";
    case "rlimit":
      return `set rlimit ${resources[o.resource] ?? o.resource} to ${limit(o.soft)}:${limit(o.hard)}`;
    case "scheduler":
      return `set scheduler policy ${o.policy}`;
    case "ioPriority":
      return `set I/O priority ${o.value >> 13}:${o.value & 0x1fff}`;
    case "affinity":
      return "set CPU affinity";
    case "memoryPolicy":
      return `set memory policy ${o.mode}`;
    case "personality":
      return `set personality ${hex(o.domain)}`;
    case "umask":
      return `set umask ${octal(o.mask)}`;
    case "keyring":
      return `join session keyring ${o.name}`;
    case "setsid":
      return "start a session";
    case "console":
      return "set up the terminal";
    case "stdioOwner":
      return `give stdio to ${o.uid}:${o.gid}`;
    case "hook":
      return `run hook ${o.path}`;
    case "sync":
      return `wait for the launcher at point ${o.id}`;
    case "gate":
      return "wait for start";
    case "boundingSet":
      return `limit the capability bounding set to ${hex(o.mask)}`;
    case "user":
      return `become user ${o.uid}:${o.gid}`;
    case "capabilities":
      return `set capabilities effective ${hex(o.effective)}, permitted ${hex(o.permitted)}, inheritable ${hex(o.inheritable)}, ambient ${hex(o.ambient)}`;
    case "noNewPrivileges":
      return "set no_new_privs";
    case "seccomp":
      return `install seccomp filter (${o.filter.length / 8} instructions)`;
    case "chdir":
      return `chdir to ${o.path}`;
    case "lookup":
      return `find executable ${o.file}`;
    case "placeFd":
      return `pass descriptor ${o.number}`;
    case "exec":
      return `exec ${o.argv.join(" ")}`;
  }
}

function limit(value: number | bigint): string {
  return BigInt(value) === 0xffff_ffff_ffff_ffffn ? "unlimited" : String(value);
}
