/**
 * The profile that engines give containers which ask for none: everything a container's capabilities and seccomp filter leave it,
 * but for mounting, tracing and signalling others, and what of /proc and /sys is the machine's.
 * The rules are those documented for `docker-default`; apparmor.d(5) describes the language.
 */

export interface ProfileFacts {
  /** The profile of who loads it: engines signal their containers. */
  own: string;
  /** Whether a file below /etc/apparmor.d can be included. */
  includes(file: string): boolean;
}

export function defaultProfile(name: string, { own, includes }: ProfileFacts): string {
  const self = quoted(name);
  const signallers = [...new Set(["unconfined", "runc", "crun", own])];
  const rules = [
    ...(includes("abstractions/base") ? ["include <abstractions/base>"] : []),
    "file,",
    "capability,",
    "network,",
    // The kernel's crypto by sockets: containers have no use for it, and it had holes.
    "deny network alg,",
    "umount,",
    "deny mount,",
    ...signallers.map((peer) => `signal (receive) peer=${quoted(peer)},`),
    `signal (send, receive) peer=${self},`,
    `ptrace (trace, read, tracedby, readby) peer=${self},`,
    // Of /proc only what belongs to a process, and the shared memory's limits, are for writing.
    "deny /proc/* w,",
    "deny /proc/[^0-9s]*/** w,",
    "deny /proc/s/** w,",
    "deny /proc/sy/** w,",
    ...allBut("/proc/", "sys/")
      .slice(1)
      .map((path) => `deny ${path} w,`),
    ...allBut("/proc/sys/", "kernel/").map((path) => `deny ${path} w,`),
    ...allBut("/proc/sys/kernel/", "shm").map((path) => `deny ${path} w,`),
    "deny /proc/sysrq-trigger rwklx,",
    "deny /proc/kcore rwklx,",
    // Of /sys only cgroups, which are writable where the mount is.
    ...allBut("/sys/", "fs/cgroup").map((path) => `deny ${path} wklx,`),
    "deny /sys/firmware/** rwklx,",
    "deny /sys/kernel/security/** rwklx,",
    "deny /sys/devices/virtual/powercap/** rwklx,",
  ];
  return [
    // Newer rules' language has rules of its own for what `network` and `capability` say here.
    ...(includes("abi/3.0") ? ["abi <abi/3.0>,"] : []),
    ...(includes("tunables/global") ? ["include <tunables/global>"] : ["@{PROC}=/proc/"]),
    `profile ${self} flags=(attach_disconnected, mediate_deleted) {`,
    ...rules.map((rule) => `  ${rule}`),
    "}",
    "",
  ].join("\n");
}

/** Patterns for all below `directory` that does not begin with `kept`: one for each letter that another path can differ in. */
export function allBut(directory: string, kept: string): string[] {
  return [...kept].map((letter, at) => `${directory}${kept.slice(0, at)}[^${letter}]**`);
}

/** A name as the language takes it; one that it could not hold is nobody's. */
const quoted = (name: string): string => `"${/^[^"\\\p{Cc}]+$/u.test(name) ? name : "unconfined"}"`;
