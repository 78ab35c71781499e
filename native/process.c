/* What makes a process the container's: namespaces, limits, identity, terminal, hooks, and the exec itself. */
#include "plan.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>

#ifndef RDTGROUP_SUPER_MAGIC
#define RDTGROUP_SUPER_MAGIC 0x7655821
#endif

static int op_setns(struct machine *m, const struct arg *args)
{
	return (int)sys(setns(slot_fd(m, &args[0]), (int)args[1].u));
}

static int op_unshare(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(unshare((int)args[0].u));
}

static int write_pid_file(struct machine *m, pid_t pid, const char *name, const char *data)
{
	char path[64];
	snprintf(path, sizeof path, "%d/%s", pid, name);
	int r = proc_write(m, path, data, strlen(data));
	return r < 0 ? fail(m, r, "%s", name) : 0;
}

/* The kernel takes a group map from an unprivileged writer only after setgroups is denied: that comes first. */
static int write_id_maps(struct machine *m, pid_t pid, const char *uids, const char *gids, uint64_t setgroups)
{
	int r = setgroups ? write_pid_file(m, pid, "setgroups", setgroups == 1 ? "allow" : "deny") : 0;
	if (r == 0 && *gids)
		r = write_pid_file(m, pid, "gid_map", gids);
	if (r == 0 && *uids)
		r = write_pid_file(m, pid, "uid_map", uids);
	return r;
}

static int op_id_map(struct machine *m, const struct arg *args)
{
	const struct op_id_map *o = (const void *)args;
	return write_id_maps(m, m->pid, o->uid_map.s, o->gid_map.s, o->setgroups.u);
}

/* A user namespace lives as long as someone refers to it: a process holds it until we have its descriptor. */
static int op_user_namespace(struct machine *m, const struct arg *args)
{
	const struct op_user_namespace *o = (const void *)args;
	struct clone_args clone = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = sys(syscall(SYS_clone3, &clone, sizeof clone));
	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0)
		return (int)pid;
	char path[64];
	snprintf(path, sizeof path, "%ld/ns/user", pid);
	int r = write_id_maps(m, (pid_t)pid, o->uid_map.s, o->gid_map.s, 0);
	if (r == 0)
		r = slot_set(m, &o->out, (int)sys(openat(m->proc, path, O_RDONLY | O_CLOEXEC)));
	kill((pid_t)pid, SIGKILL);
	while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return r;
}

/*
 * Under cgroup v1 a write of oneself ("0") to `tasks` takes no RCU grace period, one to cgroup.procs or of another
 * process takes 4 to 17 ms: plans do it in the child. See README.md.
 */
static int op_join_cgroup(struct machine *m, const struct arg *args)
{
	const struct op_join_cgroup *o = (const void *)args;
	static const uint32_t magics[] = {CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, RDTGROUP_SUPER_MAGIC};
	auto_fd opened = -1;
	int fd = slot_fd(m, &o->file), r = -EXDEV;
	if (o->file.u == NONE)
		fd = opened = (int)sys(open(o->path.s, O_WRONLY | O_CLOEXEC));
	if (fd < 0)
		return o->file.u == NONE ? fd : -EBADF;
	for (size_t i = 0; i < sizeof magics / sizeof *magics && r < 0; i++)
		r = check_magic(fd, magics[i]);
	if (r < 0)
		return r;
	char pid[16];
	int n = snprintf(pid, sizeof pid, "%d", m->role == ROLE_PARENT ? m->pid : 0);
	return write_all(fd, pid, (size_t)n);
}

static int op_proc_write(struct machine *m, const struct arg *args)
{
	const struct op_proc_write *o = (const void *)args;
	char path[PATH_MAX];
	if (o->global.u)
		return proc_write(m, o->path.s, o->data.s, o->data.n);
	int n = m->role == ROLE_PARENT ? snprintf(path, sizeof path, "%d/%s", m->pid, o->path.s)
				       : snprintf(path, sizeof path, "self/%s", o->path.s);
	return n < (int)sizeof path ? proc_write(m, path, o->data.s, o->data.n) : -ENAMETOOLONG;
}

static int op_sysctl(struct machine *m, const struct arg *args)
{
	const struct op_sysctl *o = (const void *)args;
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "sys/%s", o->path.s);
	return n < (int)sizeof path ? proc_write(m, path, o->value.s, o->value.n) : -ENAMETOOLONG;
}

static int op_open(struct machine *m, const struct arg *args)
{
	const struct op_open *o = (const void *)args;
	int dir = o->dir.u == NONE ? AT_FDCWD : slot_fd(m, &o->dir);
	auto_fd fd = sys_openat2(dir, o->path.s, o->flags.u, o->mode.u, o->resolve.u);
	if (fd < 0)
		return fd;
	int r = o->magic.u ? check_magic(fd, (uint32_t)o->magic.u) : 0;
	if (r == 0)
		r = slot_set(m, &o->out, (int)sys(fcntl(fd, F_DUPFD_CLOEXEC, 3)));
	return r;
}

static int op_connect(struct machine *m, const struct arg *args)
{
	const struct op_connect *o = (const void *)args;
	return slot_set(m, &o->out, connect_unix(o->path.s));
}

static int op_dumpable(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(prctl(PR_SET_DUMPABLE, args[0].u, 0, 0, 0));
}

static int op_hostname(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(sethostname(args[0].s, args[0].n));
}

static int op_domainname(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(setdomainname(args[0].s, args[0].n));
}

static int op_rlimit(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_rlimit *o = (const void *)args;
	struct rlimit limit = {.rlim_cur = o->soft.u, .rlim_max = o->hard.u};
	return (int)sys(setrlimit((int)o->resource.u, &limit));
}

static int op_scheduler(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_scheduler *o = (const void *)args;
	struct {
		uint32_t size, sched_policy;
		uint64_t sched_flags;
		int32_t sched_nice;
		uint32_t sched_priority;
		uint64_t sched_runtime, sched_deadline, sched_period;
	} attr = {
		.size = sizeof attr, .sched_policy = (uint32_t)o->policy.u, .sched_flags = o->flags.u,
		.sched_nice = (int32_t)o->nice.u, .sched_priority = (uint32_t)o->priority.u,
		.sched_runtime = o->runtime.u, .sched_deadline = o->deadline.u, .sched_period = o->period.u};
	return (int)sys(syscall(SYS_sched_setattr, 0, &attr, 0));
}

static int op_io_priority(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, (int)args[0].u));
}

static int op_affinity(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(syscall(SYS_sched_setaffinity, 0, (size_t)args[0].n, args[0].s));
}

static int op_memory_policy(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_memory_policy *o = (const void *)args;
	return (int)sys(syscall(SYS_set_mempolicy, (int)o->mode.u, o->nodes.n ? o->nodes.s : NULL,
				(unsigned long)o->nodes.n * 8 + (o->nodes.n ? 1 : 0)));
}

static int op_personality(struct machine *m, const struct arg *args)
{
	(void)m;
	return (int)sys(personality((unsigned long)args[0].u));
}

static int op_umask(struct machine *m, const struct arg *args)
{
	(void)m;
	umask((mode_t)args[0].u);
	return 0;
}

static int op_keyring(struct machine *m, const struct arg *args)
{
	(void)m;
	long id = sys(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, args[0].s));
	return id < 0 ? (int)id : 0;
}

static int op_setsid(struct machine *m, const struct arg *args)
{
	(void)m;
	(void)args;
	return (int)sys(setsid());
}

/* The pty multiplexer of the container's own devpts: what a symlink may claim to be /dev/ptmx is checked. */
static int open_ptmx(struct machine *m, const struct arg *root)
{
	static const char *const paths[] = {"/dev/pts/ptmx", "/dev/ptmx"};
	struct stat st;
	for (size_t i = 0; i < 2; i++) {
		auto_fd fd = root_open(m, root, paths[i], O_RDWR | O_NOCTTY);
		if (fd == -ENOENT && i == 0)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0)
			return fail(m, fd < 0 ? fd : -errno, "open %s", paths[i]);
		if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
			return fail(m, -ENODEV, "%s of the container is not a pty multiplexer", paths[i]);
		int found = fd;
		fd = -1;
		return found;
	}
	return -ENOENT;
}

/* The slave is bound by descriptor over a file that we make: no path of the container decides. (CVE-2025-52565) */
static int bind_console(struct machine *m, const struct arg *root, int slave)
{
	auto_fd target = root_create(m, root, "/dev/console", CREATE_FILE, 0600);
	if (target < 0)
		return target;
	auto_fd tree = (int)sys(syscall(SYS_open_tree, slave, "", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC | AT_EMPTY_PATH));
	if (tree < 0)
		return tree;
	/* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */
	return (int)sys(syscall(SYS_move_mount, tree, "", target, "", 0x44));
}

static int op_console(struct machine *m, const struct arg *args)
{
	const struct op_console *o = (const void *)args;
	int unlock = 0;
	auto_fd master = open_ptmx(m, &o->root);
	if (master < 0)
		return master;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	auto_fd slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || check_magic(slave, DEVPTS_SUPER_MAGIC) < 0)
		return fail(m, slave < 0 ? -errno : -EXDEV, "the terminal's device");
	struct winsize size = {.ws_row = (unsigned short)o->rows.u, .ws_col = (unsigned short)o->columns.u};
	if ((size.ws_row || size.ws_col) && ioctl(master, TIOCSWINSZ, &size) < 0)
		return -errno;
	if (fchown(slave, (uid_t)o->uid.u, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	int r = o->bind_console.u ? bind_console(m, &o->root, slave) : 0;
	if (r < 0)
		return fail(m, r, "bind /dev/console");
	struct {
		uint32_t kind, step;
	} message = {2 /* BATON_CONSOLE */, m->step};
	r = o->socket.u == NONE ? send_with_fd(m->baton, &message, sizeof message, master)
				: send_with_fd(slot_fd(m, &o->socket), "/dev/ptmx", 9, master);
	if (r < 0)
		return fail(m, r, "hand over the terminal");
	setsid(); /* fails only for the leader of a session already */
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return fail(m, -errno, "controlling terminal");
	for (int i = 0; i < 3; i++)
		if (dup2(slave, i) < 0)
			return -errno;
	return 0;
}

static int op_stdio_owner(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_stdio_owner *o = (const void *)args;
	for (int i = 0; i < 3; i++) {
		struct stat st;
		if (fstat(i, &st) < 0) {
			if (errno == EBADF)
				continue;
			return -errno;
		}
		/* The null device may be the host's own inode. */
		if (st.st_uid == o->uid.u || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
			continue;
		if (fchown(i, (uid_t)o->uid.u, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM && errno != EROFS)
			return -errno;
	}
	return 0;
}

static void hook_detail(struct machine *m, int output, int status, bool late, uint32_t timeout)
{
	char text[512];
	off_t size = lseek(output, 0, SEEK_END);
	ssize_t n = pread(output, text, sizeof text - 1, size > 511 ? size - 511 : 0);
	text[n > 0 ? n : 0] = 0;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		text[--n] = 0;
	char why[64];
	if (late)
		snprintf(why, sizeof why, "timed out after %u ms", timeout);
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
	fail(m, 0, "%s%s%s", why, n > 0 ? ", output: " : "", text);
}

/* Hooks read the container's state from stdin and may write what they like: memfds, so that nobody can block. */
static int op_hook(struct machine *m, const struct arg *args)
{
	const struct op_hook *o = (const void *)args;
	char pid[16] = "";
	auto_fd input = memfd_create("hook-state", MFD_CLOEXEC);
	auto_fd output = memfd_create("hook-output", MFD_CLOEXEC);
	auto_free char **argv = arg_vector(&o->argv), **env = arg_vector(&o->env);
	if (input < 0 || output < 0 || !argv || !env)
		return -ENOMEM;
	if (o->with_pid.u)
		snprintf(pid, sizeof pid, "%d", m->pid);
	int r = write_all(input, o->stdin_head.s, o->stdin_head.n);
	if (r == 0)
		r = write_all(input, pid, strlen(pid));
	if (r == 0)
		r = write_all(input, o->stdin_tail.s, o->stdin_tail.n);
	if (r < 0 || lseek(input, 0, SEEK_SET) < 0 || fcntl(output, F_SETFL, O_APPEND) < 0)
		return r < 0 ? r : -errno;
	pid_t child = fork();
	if (child < 0)
		return -errno;
	if (child == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
		    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
			_exit(127);
		char *self[] = {(char *)o->path.s, NULL};
		execve(o->path.s, argv[0] ? argv : self, env);
		dprintf(2, "exec %s: %s", o->path.s, strerror(errno));
		_exit(127);
	}
	auto_fd pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	bool late = o->timeout.u > 0 && pidfd >= 0 && poll(&p, 1, (int)o->timeout.u) == 0;
	if (late)
		kill(-child, SIGKILL);
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (!late && status == 0)
		return 0;
	hook_detail(m, output, status, late, (uint32_t)o->timeout.u);
	return -ECANCELED;
}

static int op_bounding_set(struct machine *m, const struct arg *args)
{
	(void)m;
	for (unsigned cap = 0; cap < 64; cap++) {
		if (args[0].u >> cap & 1)
			continue;
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			return 0; /* past the last capability */
		if (has > 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

static int op_user(struct machine *m, const struct arg *args)
{
	const struct op_user *o = (const void *)args;
	if (o->groups.n % sizeof(gid_t))
		return -EINVAL;
	gid_t *groups = NULL;
	auto_free void *copy = o->groups.n ? groups = malloc(o->groups.n) : NULL;
	if (o->groups.n && !groups)
		return -ENOMEM;
	if (groups)
		memcpy(groups, o->groups.s, o->groups.n);
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	/* The calls themselves, not libc's versions that signal every thread: there is one. */
	if (o->set_groups.u && syscall(SYS_setgroups, o->groups.n / sizeof(gid_t), groups) < 0)
		return fail(m, -errno, "setgroups");
	if (syscall(SYS_setresgid, o->gid.u, o->gid.u, o->gid.u) < 0)
		return fail(m, -errno, "setresgid");
	if (syscall(SYS_setresuid, o->uid.u, o->uid.u, o->uid.u) < 0)
		return fail(m, -errno, "setresuid");
	return (int)sys(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
}

static int op_capabilities(struct machine *m, const struct arg *args)
{
	const struct op_capabilities *o = (const void *)args;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(o->effective.u >> 32 * i),
							  .permitted = (uint32_t)(o->permitted.u >> 32 * i),
							  .inheritable = (uint32_t)(o->inheritable.u >> 32 * i)};
	if (syscall(SYS_capset, &header, data) < 0)
		return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	for (unsigned cap = 0; cap < 64; cap++)
		if ((o->ambient.u >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail(m, -errno, "ambient capability %u", cap);
	return 0;
}

static int op_no_new_privileges(struct machine *m, const struct arg *args)
{
	(void)m;
	(void)args;
	return (int)sys(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/*
 * With a listener the new filter may notify on the very call that hands the descriptor over, and nobody would
 * answer. So a helper that shares our descriptor table, made before the filter, hands it over; we wait on memory.
 */
static int seccomp_listener(struct machine *m, const struct op_seccomp *o, const struct sock_fprog *program)
{
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -errno;
	int sock = slot_fd(m, &o->listener), r;
	auto_free char *state = NULL;
	if (asprintf(&state, "%s%d%s", o->state_head.s, m->pid, o->state_tail.s) < 0)
		return -ENOMEM;
	shared[0] = -1;
	struct clone_args clone = {.flags = CLONE_FILES};
	long helper = sys(syscall(SYS_clone3, &clone, sizeof clone));
	if (helper == 0) {
		while (shared[0] == -1)
			usleep(20);
		r = shared[0] < 0 ? 0 : send_with_fd(sock, state, strlen(state), shared[0]);
		if (shared[0] >= 0)
			close(shared[0]);
		shared[1] = r < 0 ? r : 1;
		_exit(0);
	}
	if (helper < 0)
		return (int)helper;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, o->flags.u | SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
	r = fd < 0 ? -errno : 0;
	shared[0] = fd < 0 ? -2 : (int)fd;
	while (shared[1] == 0)
		__builtin_ia32_pause();
	return r < 0 ? r : shared[1] < 0 ? fail(m, shared[1], "hand the notify descriptor to the agent") : 0;
}

static int op_seccomp(struct machine *m, const struct arg *args)
{
	const struct op_seccomp *o = (const void *)args;
	if (o->filter.n == 0 || o->filter.n % sizeof(struct sock_filter) || o->filter.n / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return -EINVAL;
	struct sock_fprog program = {.len = (unsigned short)(o->filter.n / sizeof(struct sock_filter)),
				     .filter = (struct sock_filter *)o->filter.s};
	if (o->listener.u != NONE)
		return seccomp_listener(m, o, &program);
	return (int)sys(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)o->flags.u, &program));
}

/* A directory outside of the root would make getcwd answer with "(unreachable)". (CVE-2024-21626) */
static int op_chdir(struct machine *m, const struct arg *args)
{
	char cwd[PATH_MAX];
	if (chdir(args[0].s) < 0)
		return -errno;
	long n = sys(syscall(SYS_getcwd, cwd, sizeof cwd));
	if (n < 0 && n != -ENOENT)
		return (int)n;
	if (n < 0 || cwd[0] != '/')
		return fail(m, -ENOENT, "the working directory is outside of the container's root");
	return 0;
}

static int runnable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return (int)sys(faccessat(AT_FDCWD, path, X_OK, AT_EACCESS));
}

static int op_lookup(struct machine *m, const struct arg *args)
{
	const struct op_lookup *o = (const void *)args;
	int r = -ENOENT;
	free(m->executable);
	m->executable = NULL;
	if (strchr(o->file.s, '/')) {
		r = runnable(o->file.s);
		if (r < 0)
			return fail_final(m, r == -EISDIR ? -EACCES : r, "exec: \"%s\": %s%s%s", o->file.s,
					  r == -EACCES || r == -EISDIR ? "" : "stat ",
					  r == -EACCES || r == -EISDIR ? "" : o->file.s,
					  r == -ENOENT	 ? ": no such file or directory"
					  : r == -EACCES ? "permission denied"
					  : r == -EISDIR ? "is a directory"
							 : ": not accessible");
		m->executable = strdup(o->file.s);
		return m->executable ? 0 : -ENOMEM;
	}
	for (const char *dir = o->path_env.s; o->file.n > 0; dir++) {
		size_t n = strcspn(dir, ":");
		auto_free char *path = NULL;
		if (asprintf(&path, "%.*s/%s", n ? (int)n : 1, n ? dir : ".", o->file.s) < 0)
			return -ENOMEM;
		int found = runnable(path);
		if (found == 0) {
			m->executable = path;
			path = NULL;
			return 0;
		}
		if (found == -EACCES)
			r = found;
		dir += n;
		if (!*dir)
			break;
	}
	return fail_final(m, r, "exec: \"%s\": %s", o->file.s,
			  r == -EACCES ? "permission denied" : "executable file not found in $PATH");
}

static int op_place_fd(struct machine *m, const struct arg *args)
{
	const struct op_place_fd *o = (const void *)args;
	int number = (int)o->number.u, fd = slot_fd(m, &o->fd);
	int *own[MAX_SLOTS + 2];
	size_t count = 0;
	for (int i = 0; i < MAX_SLOTS; i++)
		own[count++] = &m->slots[i];
	own[count++] = &m->proc;
	own[count++] = &m->baton;
	/* What the machine itself has at that number moves away first. */
	for (size_t i = 0; i < count; i++) {
		if (*own[i] != number || fd == number)
			continue;
		int elsewhere = fcntl(number, F_DUPFD_CLOEXEC, 64);
		if (elsewhere < 0)
			return -errno;
		*own[i] = elsewhere;
	}
	if (fd == number)
		return (int)sys(fcntl(fd, F_SETFD, 0));
	return fd < 0 ? -EBADF : (int)sys(dup2(fd, number)) < 0 ? -errno : 0;
}

/* No descriptor of ours survives into the container. (CVE-2024-21626) */
static int op_exec(struct machine *m, const struct arg *args)
{
	const struct op_exec *o = (const void *)args;
	auto_free char **argv = arg_vector(&o->argv), **env = arg_vector(&o->env);
	if (!argv || !env || !argv[0])
		return -EINVAL;
	if (syscall(SYS_close_range, (unsigned)o->first_closed.u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	m->result->step[m->step].end_ns = monotonic_ns();
	m->result->step[m->step].role = ROLE_CHILD;
	__atomic_store_n(&m->result->state, STATE_EXECUTED, __ATOMIC_RELEASE);
	execve(m->executable ? m->executable : argv[0], argv, env);
	int error = -errno;
	static const struct {
		int error;
		const char *text;
	} texts[] = {{-ENOENT, "no such file or directory"}, {-EACCES, "permission denied"}, {-ENOEXEC, "exec format error"}};
	m->result->state = STATE_RUNNING;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (error == texts[i].error)
			return fail_final(m, error, "exec %s: %s", m->executable ? m->executable : argv[0], texts[i].text);
	return error;
}

op_function process_operation(uint16_t number)
{
	switch (number) {
	case OP_SETNS: return op_setns;
	case OP_UNSHARE: return op_unshare;
	case OP_ID_MAP: return op_id_map;
	case OP_USER_NAMESPACE: return op_user_namespace;
	case OP_JOIN_CGROUP: return op_join_cgroup;
	case OP_PROC_WRITE: return op_proc_write;
	case OP_SYSCTL: return op_sysctl;
	case OP_OPEN: return op_open;
	case OP_CONNECT: return op_connect;
	case OP_DUMPABLE: return op_dumpable;
	case OP_HOSTNAME: return op_hostname;
	case OP_DOMAINNAME: return op_domainname;
	case OP_RLIMIT: return op_rlimit;
	case OP_SCHEDULER: return op_scheduler;
	case OP_IO_PRIORITY: return op_io_priority;
	case OP_AFFINITY: return op_affinity;
	case OP_MEMORY_POLICY: return op_memory_policy;
	case OP_PERSONALITY: return op_personality;
	case OP_UMASK: return op_umask;
	case OP_KEYRING: return op_keyring;
	case OP_SETSID: return op_setsid;
	case OP_CONSOLE: return op_console;
	case OP_STDIO_OWNER: return op_stdio_owner;
	case OP_HOOK: return op_hook;
	case OP_BOUNDING_SET: return op_bounding_set;
	case OP_USER: return op_user;
	case OP_CAPABILITIES: return op_capabilities;
	case OP_NO_NEW_PRIVILEGES: return op_no_new_privileges;
	case OP_SECCOMP: return op_seccomp;
	case OP_CHDIR: return op_chdir;
	case OP_LOOKUP: return op_lookup;
	case OP_PLACE_FD: return op_place_fd;
	case OP_EXEC: return op_exec;
	default: return NULL;
	}
}
