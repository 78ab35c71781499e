/**
 * A small SELinux policy, in the language of checkpolicy(8), for a guest whose kernel then enforces it. Host programs are
 * `host_t` and may do all; containers are `container_t` (or `other_t`), may use nothing but files of containers, and of
 * these only those whose categories they have. `spc_t` may do all, too.
 */

/** The kernel counts them by their place in this list. */
const initialSids = (
  "kernel security unlabeled fs file file_labels init any_socket port netif netmsg node igmp_packet icmp_socket tcp_socket " +
  "sysctl_modprobe sysctl sysctl_fs sysctl_kernel sysctl_net sysctl_net_unix sysctl_vm sysctl_dev kmod policy scmp_packet devnull"
).split(" ");

const file =
  "ioctl read write create getattr setattr lock relabelfrom relabelto append map unlink link rename execute quotaon mounton " +
  "audit_access open execmod watch watch_mount watch_sb watch_with_perm watch_reads";

/** Classes and permissions that are left out are allowed: `checkpolicy -U allow`. */
const classes: Record<string, string> = {
  process:
    "fork transition sigchld sigkill sigstop signull signal ptrace getsched setsched getsession getpgid setpgid getcap setcap " +
    "share getattr setexec setfscreate noatsecure siginh setrlimit rlimitinh dyntransition setcurrent execmem execstack execheap " +
    "setkeycreate setsockcreate getrlimit",
  // Without these no process with no_new_privs could become another type.
  process2: "nnp_transition nosuid_transition",
  filesystem: "mount remount unmount getattr relabelfrom relabelto associate quotamod quotaget watch",
  key: "view read write search link setattr create",
  file: `${file} execute_no_trans entrypoint`,
  dir: `${file} add_name remove_name reparent search rmdir`,
  lnk_file: file,
  chr_file: file,
  blk_file: file,
  sock_file: file,
  fifo_file: file,
};
const files = "{ file dir lnk_file chr_file blk_file sock_file fifo_file filesystem key }";

const context = (role: string, type: string) => `system_u:${role}:${type}:s0`;
const hostFile = context("object_r", "host_file_t");
/** What containers see of the kernel is labelled by its file system. */
const kernelFile = context("object_r", "kernel_file_t");

export const policy = [
  ...Object.keys(classes).map((name) => `class ${name}`),
  ...initialSids.map((name) => `sid ${name}`),
  ...Object.entries(classes).map(([name, permissions]) => `class ${name} { ${permissions} }`),
  "sensitivity s0;",
  "dominance { s0 }",
  ...Array.from({ length: 1024 }, (_, category) => `category c${category};`),
  "level s0:c0.c1023;",
  "mlsconstrain { file dir lnk_file fifo_file sock_file } { read write } ( ( h1 dom h2 ) or ( t1 != contained ) );",
  "policycap nnp_nosuid_transition;",
  "attribute domains;",
  "attribute contained;",
  "attribute files;",
  "type host_t, domains;",
  "type spc_t, domains;",
  "type container_t, domains, contained;",
  "type other_t, domains, contained;",
  "type host_file_t, files;",
  "type kernel_file_t, files;",
  "type container_file_t, files;",
  "type container_ro_file_t, files;",
  "role system_r;",
  "role object_r;",
  "role system_r types domains;",
  "allow domains domains:{ process process2 } *;",
  `allow { host_t spc_t } { files domains }:${files} *;`,
  `allow contained { container_file_t kernel_file_t domains }:${files} *;`,
  // mprotect(2) of a file of an overlay looks at the layer's own label (Linux 6.1).
  "allow contained container_ro_file_t:{ file dir lnk_file } { read getattr map execute open };",
  "allow contained container_ro_file_t:dir search;",
  // A terminal's and a pipe's other end is the host's.
  "allow contained host_file_t:{ filesystem chr_file fifo_file } *;",
  "allow { files domains } files:filesystem associate;",
  "user system_u roles { system_r } level s0 range s0 - s0:c0.c1023;",
  ...initialSids.map(
    (name) =>
      `sid ${name} ${name === "kernel" || name === "init" ? context("system_r", "host_t") : hostFile}`,
  ),
  ...["overlay", "ext4"].map((name) => `fs_use_xattr ${name} ${hostFile};`),
  ...["tmpfs", "devtmpfs", "devpts", "mqueue"].map((name) => `fs_use_trans ${name} ${hostFile};`),
  ...["pipefs", "sockfs"].map((name) => `fs_use_task ${name} ${hostFile};`),
  ...["proc", "sysfs", "cgroup2"].map((name) => `genfscon ${name} / ${kernelFile}`),
  ...["selinuxfs", "nsfs", "rootfs"].map((name) => `genfscon ${name} / ${hostFile}`),
  "",
].join("\n");

/** What container-selinux installs as /usr/share/containers/selinux/contexts. */
export const contexts = `process = "${context("system_r", "container_t")}"\nfile = "${context("object_r", "container_file_t")}"\n`;
