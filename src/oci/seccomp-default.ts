/**
 * Docker's default seccomp profile as data (moby/profiles, 2026), and its resolution to runtime-spec rules
 * for a set of capabilities, an architecture and a kernel.
 */
import type { LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction } from "./runtime-spec.ts";

/** Allowed whatever the container may do. */
const always = `
  accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
  clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
  clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
  fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
  fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
  fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
  futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid
  geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
  getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list
  getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr
  getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy
  io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill
  landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
  linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
  lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod
  mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv
  msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat
  openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
  ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64
  pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
  recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
  restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
  rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
  sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
  sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
  semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32
  setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
  setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list
  setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl
  shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair
  splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs
  sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
  timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
  timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe
  utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
`;

/** Go's names of the architectures, as the profile's conditions use them. */
export type ProfileArchitecture = "amd64" | "x86" | "x32" | "arm64" | "arm";

interface When {
  arches?: string[];
  caps?: string[];
  minKernel?: string;
}

/** A rule of the profile's own format: the specification's, with conditions on when it is part of the result. */
export interface ProfileRule {
  names?: string[];
  name?: string;
  action: SeccompAction;
  errnoRet?: number;
  args?: LinuxSeccompArg[];
  includes?: When;
  excludes?: When;
}

/** Docker's profile format (`--security-opt seccomp=file.json`). */
export interface SeccompProfile {
  defaultAction: SeccompAction;
  defaultErrnoRet?: number;
  architectures?: string[];
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: ProfileRule[];
}

const allow = (names: string, includes?: When, args?: LinuxSeccompArg[], excludes?: When): ProfileRule => ({
  names: names.trim().split(/\s+/),
  action: "SCMP_ACT_ALLOW",
  ...(args && { args }),
  ...(includes && { includes }),
  ...(excludes && { excludes }),
});
const argument = (index: number, op: LinuxSeccompArg["op"], value: number): LinuxSeccompArg[] => [
  { index, value, op },
];
/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET. */
const newNamespaces = 0x7e020000;

/** The profile itself; built when asked for. */
export function dockerProfile(): SeccompProfile {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
    ],
    syscalls: [
      allow(always),
      allow("process_vm_readv process_vm_writev ptrace", { minKernel: "4.8" }),
      // All address families but AF_ALG (38) and AF_VSOCK (40).
      allow("socket", undefined, argument(0, "SCMP_CMP_LT", 38)),
      allow("socket", undefined, argument(0, "SCMP_CMP_EQ", 39)),
      allow("socket", undefined, argument(0, "SCMP_CMP_GT", 40)),
      ...[0, 0x8, 0x20000, 0x20008, 0xffffffff].map((persona) =>
        allow("personality", undefined, argument(0, "SCMP_CMP_EQ", persona)),
      ),
      allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", {
        arches: ["arm", "arm64"],
      }),
      allow("arch_prctl", { arches: ["amd64", "x32"] }),
      allow("modify_ldt", { arches: ["amd64", "x32", "x86"] }),
      allow("open_by_handle_at", { caps: ["CAP_DAC_READ_SEARCH"] }),
      allow(
        `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`,
        { caps: ["CAP_SYS_ADMIN"] },
      ),
      allow("clone", undefined, argument(0, "SCMP_CMP_MASKED_EQ", newNamespaces), {
        caps: ["CAP_SYS_ADMIN"],
      }),
      // clone3's flags lie in memory a filter cannot read: ENOSYS makes libc fall back to clone.
      {
        names: ["clone3"],
        action: "SCMP_ACT_ERRNO",
        errnoRet: 38,
        excludes: { caps: ["CAP_SYS_ADMIN"] },
      },
      allow("reboot", { caps: ["CAP_SYS_BOOT"] }),
      allow("chroot", { caps: ["CAP_SYS_CHROOT"] }),
      allow("delete_module init_module finit_module", { caps: ["CAP_SYS_MODULE"] }),
      allow("acct", { caps: ["CAP_SYS_PACCT"] }),
      allow("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace", {
        caps: ["CAP_SYS_PTRACE"],
      }),
      allow("iopl ioperm", { caps: ["CAP_SYS_RAWIO"] }),
      allow("settimeofday stime clock_settime clock_settime64", { caps: ["CAP_SYS_TIME"] }),
      allow("vhangup", { caps: ["CAP_SYS_TTY_CONFIG"] }),
      allow("get_mempolicy mbind set_mempolicy set_mempolicy_home_node", { caps: ["CAP_SYS_NICE"] }),
      allow("syslog", { caps: ["CAP_SYSLOG"] }),
      allow("bpf", { caps: ["CAP_BPF"] }),
      allow("perf_event_open", { caps: ["CAP_PERFMON"] }),
    ],
  };
}

export interface ProfileContext {
  /** The bounding set of the container. */
  capabilities: readonly string[];
  architecture?: ProfileArchitecture;
  /** `uname -r`. */
  kernel: string;
}

/** Docker's default profile for these capabilities. */
export function defaultSeccomp(context: ProfileContext): LinuxSeccomp {
  return resolveProfile(dockerProfile(), context);
}

/** A profile in Docker's format, resolved to what the runtime specification has. */
export function resolveProfile(profile: SeccompProfile, context: ProfileContext): LinuxSeccomp {
  if (profile.architectures?.length && profile.archMap?.length)
    throw new Error(
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  const architecture = context.architecture ?? (process.arch === "arm64" ? "arm64" : "amd64");
  const native = architecture.startsWith("arm") ? "SCMP_ARCH_AARCH64" : "SCMP_ARCH_X86_64";
  const mapped = profile.archMap?.find((entry) => entry.architecture === native);
  const architectures = mapped
    ? [mapped.architecture, ...(mapped.subArchitectures ?? [])]
    : profile.architectures;
  const holds = (when: When | undefined, every: boolean): boolean => {
    const tests: boolean[] = [];
    if (when?.arches?.length) tests.push(when.arches.includes(architecture));
    if (when?.minKernel) tests.push(atLeast(context.kernel, when.minKernel));
    for (const capability of when?.caps ?? []) tests.push(context.capabilities.includes(capability));
    return every ? !tests.includes(false) : tests.includes(true);
  };
  const syscalls: LinuxSyscall[] = [];
  for (const rule of profile.syscalls ?? []) {
    if (!holds(rule.includes, true) || holds(rule.excludes, false)) continue;
    if (rule.name && rule.names?.length)
      throw new Error(
        "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
      );
    syscalls.push({
      names: rule.name ? [rule.name] : (rule.names ?? []),
      action: rule.action,
      ...(rule.errnoRet !== undefined && { errnoRet: rule.errnoRet }),
      ...(rule.args?.length && { args: rule.args }),
    });
  }
  const { archMap: _, syscalls: __, architectures: ___, ...common } = profile;
  return { ...common, ...(architectures?.length && { architectures }), syscalls };
}

/** Compares the first two numbers of a kernel version. */
function atLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
