import type { Spec } from "./runtime-spec.ts";

/** What of the kernel's files a container without privileges does not see, or not write, in runc's and containerd's words. */
export const hiddenPaths = {
  maskedPaths: [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
  ],
  readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
};

/** What `runc spec` prints: a shell with a terminal, on a read-only rootfs, in namespaces of its own. */
export function defaultSpec(): Spec {
  const capabilities = () => ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  return {
    ociVersion: "1.0.2-dev",
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: {
        bounding: capabilities(),
        effective: capabilities(),
        permitted: capabilities(),
        ambient: capabilities(),
      },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "runc",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
      mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
      mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
      mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
      mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ],
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [{ type: "pid" }, { type: "network" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }],
      ...hiddenPaths,
    },
  };
}

/** What `runc spec --rootless` prints: the same in a user namespace that maps root to `uid` and `gid`. */
export function rootlessSpec(uid: number, gid: number): Spec {
  const base = defaultSpec();
  const mounts = (base.mounts ?? []).map((entry) => {
    if (entry.destination === "/sys") return mount("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro");
    if (!entry.options) return entry;
    return { ...entry, options: entry.options.filter((option) => !/^[ug]id=/.test(option)) };
  });
  const { resources: _, ...linux } = base.linux ?? {};
  return {
    ...base,
    mounts,
    linux: {
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
      ...linux,
      namespaces: [
        ...(linux.namespaces ?? []).filter((namespace) => namespace.type !== "network"),
        { type: "user" },
      ],
    },
  };
}

function mount(destination: string, type: string, source: string, options: string) {
  return { destination, type, source, options: options.split(",") };
}
