/* What makes a process the container's: namespaces, limits, identity, terminal, hooks, and the exec itself. */
#include "plan.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <termios.h>

#ifndef RDTGROUP_SUPER_MAGIC
#define RDTGROUP_SUPER_MAGIC 0x7655821
#endif

static int write_pid_file(struct machine *m, pid_t pid, const char *name, const char *data) {
	char path[64];
	snprintf(path, sizeof path, "%d/%s", pid, name);
	int r = proc_write(m, path, data, strlen(data));
	return r < 0 ? fail(m, r, "%s", name) : 0;
}

/* The kernel takes a group map from an unprivileged writer only after setgroups is denied: that comes first. */
static int write_id_maps(struct machine *m, pid_t pid, const char *uids, const char *gids, uint64_t setgroups) {
	int r = setgroups ? write_pid_file(m, pid, "setgroups", setgroups == 1 ? "allow" : "deny") : 0;
	if (r == 0 && *gids) r = write_pid_file(m, pid, "gid_map", gids);
	if (r == 0 && *uids) r = write_pid_file(m, pid, "uid_map", uids);
	return r;
}

/* A user namespace lives as long as someone refers to it: a process holds it until we have its descriptor. */
static int op_user_namespace(struct machine *m, const struct op_user_namespace *o) {
	struct clone_args clone = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = sys(syscall(SYS_clone3, &clone, sizeof clone));
	if (pid == 0)
		for (;;) pause();
	if (pid < 0) return (int)pid;
	char path[64];
	snprintf(path, sizeof path, "%ld/ns/user", pid);
	int r = write_id_maps(m, (pid_t)pid, o->uid_map.s, o->gid_map.s, 0);
	if (r == 0) r = slot_set(m, &o->out, (int)sys(openat(m->proc, path, O_RDONLY | O_CLOEXEC)));
	kill((pid_t)pid, SIGKILL);
	while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR) continue;
	return r;
}

/*
 * Under cgroup v1 a write of oneself ("0") to `tasks` takes no RCU grace period, one to cgroup.procs or of another
 * process takes 4 to 17 ms: plans do it in the child. See README.md.
 */
static int op_join_cgroup(struct machine *m, const struct op_join_cgroup *o) {
	static const uint32_t magics[] = {CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, RDTGROUP_SUPER_MAGIC};
	auto_fd opened = -1;
	int fd = slot_fd(m, &o->file), r = -EXDEV;
	if (o->file.u == NONE) fd = opened = (int)sys(open(o->path.s, O_WRONLY | O_CLOEXEC));
	if (fd < 0) return o->file.u == NONE ? fd : -EBADF;
	for (size_t i = 0; i < sizeof magics / sizeof *magics && r < 0; i++) r = check_magic(fd, magics[i]);
	TRY(r);
	char pid[16];
	int n = snprintf(pid, sizeof pid, "%d", m->role == ROLE_PARENT ? m->pid : 0);
	return write_all(fd, pid, (size_t)n);
}

static int op_proc_write(struct machine *m, const struct op_proc_write *o) {
	char path[PATH_MAX];
	if (o->global.u) return proc_write(m, o->path.s, o->data.s, o->data.n);
	int n = m->role == ROLE_PARENT ? snprintf(path, sizeof path, "%d/%s", m->pid, o->path.s)
				       : snprintf(path, sizeof path, "self/%s", o->path.s);
	return n < (int)sizeof path ? proc_write(m, path, o->data.s, o->data.n) : -ENAMETOOLONG;
}

static int op_sysctl(struct machine *m, const struct op_sysctl *o) {
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "sys/%s", o->path.s);
	return n < (int)sizeof path ? proc_write(m, path, o->value.s, o->value.n) : -ENAMETOOLONG;
}

static int op_open(struct machine *m, const struct op_open *o) {
	int dir = o->dir.u == NONE ? AT_FDCWD : slot_fd(m, &o->dir);
	auto_fd fd = sys_openat2(dir, o->path.s, o->flags.u, o->mode.u, o->resolve.u);
	TRY(fd);
	int r = o->magic.u ? check_magic(fd, (uint32_t)o->magic.u) : 0;
	if (r == 0) r = slot_set(m, &o->out, (int)sys(fcntl(fd, F_DUPFD_CLOEXEC, 3)));
	return r;
}

static int op_scheduler(const struct op_scheduler *o) {
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

/* The pty multiplexer of the container's own devpts: what a symlink may claim to be /dev/ptmx is checked. */
static int open_ptmx(struct machine *m, const struct arg *root) {
	struct stat st;
	int fd = root_open(m, root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
	if (fd == -ENOENT) fd = root_open(m, root, "/dev/ptmx", O_RDWR | O_NOCTTY);
	if (fd < 0) return fail(m, fd, "open /dev/ptmx");
	if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2)) return fd;
	close(fd);
	return fail(m, -ENODEV, "/dev/ptmx of the container is not a pty multiplexer");
}

/* The slave is bound by descriptor over a file that we make: no path of the container decides. (CVE-2025-52565) */
static int bind_console(struct machine *m, const struct arg *root, int slave) {
	auto_fd target = root_create(m, root, "/dev/console", CREATE_FILE, 0600);
	TRY(target);
	auto_fd tree = (int)sys(syscall(SYS_open_tree, slave, "", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC | AT_EMPTY_PATH));
	TRY(tree);
	/* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */
	return (int)sys(syscall(SYS_move_mount, tree, "", target, "", 0x44));
}

static int op_console(struct machine *m, const struct op_console *o) {
	int unlock = 0;
	auto_fd master = open_ptmx(m, &o->root);
	TRY(master);
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return -errno;
	auto_fd slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || check_magic(slave, DEVPTS_SUPER_MAGIC) < 0)
		return fail(m, slave < 0 ? -errno : -EXDEV, "the terminal's device");
	struct winsize size = {.ws_row = (unsigned short)o->rows.u, .ws_col = (unsigned short)o->columns.u};
	if ((size.ws_row || size.ws_col) && ioctl(master, TIOCSWINSZ, &size) < 0) return -errno;
	if (fchown(slave, (uid_t)o->uid.u, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL) return -errno;
	int r = o->bind_console.u ? bind_console(m, &o->root, slave) : 0;
	if (r < 0) return fail(m, r, "bind /dev/console");
	struct {
		uint32_t kind, step;
	} message = {2 /* BATON_CONSOLE */, m->step};
	r = o->socket.u == NONE ? send_with_fd(m->baton, &message, sizeof message, master)
				: send_with_fd(slot_fd(m, &o->socket), "/dev/ptmx", 9, master);
	if (r < 0) return fail(m, r, "hand over the terminal");
	setsid(); /* fails only for the leader of a session already */
	if (ioctl(slave, TIOCSCTTY, 0) < 0) return fail(m, -errno, "controlling terminal");
	for (int i = 0; i < 3; i++) TRY(sys(dup2(slave, i)));
	return 0;
}

static bool is_null_device(const struct stat *st) {
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/*
 * The launcher's null device is the host's inode, whose mode and owner a container's root could change through
 * /proc/self/fd: the container's own takes its place. Where that is gone or something else, an empty memfd serves.
 */
static int own_null(struct machine *m, int fd) {
	struct stat st;
	char path[64];
	auto_fd found = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC), null = -1;
	snprintf(path, sizeof path, "self/fd/%d", found);
	if (found >= 0 && fstat(found, &st) == 0 && is_null_device(&st)) null = openat(m->proc, path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (null < 0) null = memfd_create("null", MFD_CLOEXEC);
	return null < 0 || dup2(null, fd) < 0 ? fail(m, -errno, "the null device as descriptor %d", fd) : 0;
}

static int op_stdio_owner(struct machine *m, const struct op_stdio_owner *o) {
	for (int i = 0; i < 3; i++) {
		struct stat st;
		if (fstat(i, &st) < 0) continue; /* closed */
		if (is_null_device(&st)) TRY(own_null(m, i));
		else if (st.st_uid != o->uid.u && fchown(i, (uid_t)o->uid.u, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM &&
			 errno != EROFS)
			return -errno;
	}
	return 0;
}

static void hook_detail(struct machine *m, int output, int status, bool late, uint32_t timeout) {
	char text[512];
	off_t size = lseek(output, 0, SEEK_END);
	ssize_t n = pread(output, text, sizeof text - 1, size > 511 ? size - 511 : 0);
	text[n > 0 ? n : 0] = 0;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ')) text[--n] = 0;
	char why[64];
	if (late) snprintf(why, sizeof why, "timed out after %u ms", timeout);
	else if (WIFSIGNALED(status)) snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
	else snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
	fail(m, 0, "%s%s%s", why, n > 0 ? ", output: " : "", text);
}

/* Hooks read the container's state from stdin and may write what they like: memfds, so that nobody can block. */
static int op_hook(struct machine *m, const struct op_hook *o) {
	char pid[16] = "";
	auto_fd input = memfd_create("hook-state", MFD_CLOEXEC);
	auto_fd output = memfd_create("hook-output", MFD_CLOEXEC);
	auto_free char **argv = arg_vector(&o->argv), **env = arg_vector(&o->env);
	if (input < 0 || output < 0 || !argv || !env) return -ENOMEM;
	if (o->with_pid.u) snprintf(pid, sizeof pid, "%d", m->pid);
	int r = write_all(input, o->stdin_head.s, o->stdin_head.n);
	if (r == 0) r = write_all(input, pid, strlen(pid));
	if (r == 0) r = write_all(input, o->stdin_tail.s, o->stdin_tail.n);
	if (r < 0 || lseek(input, 0, SEEK_SET) < 0 || fcntl(output, F_SETFL, O_APPEND) < 0)
		return r < 0 ? r : -errno;
	pid_t child = fork();
	TRY(sys(child));
	if (child == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
		    (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0 && !m->sealed))
			_exit(127);
		char *self[] = {(char *)o->path.s, NULL};
		execve(o->path.s, argv[0] ? argv : self, env);
		dprintf(2, "exec %s: %s", o->path.s, strerror(errno));
		_exit(127);
	}
	auto_fd pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	bool late = o->timeout.u > 0 && pidfd >= 0 && poll(&p, 1, (int)o->timeout.u) == 0;
	if (late) kill(-child, SIGKILL);
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
	if (!late && status == 0) return 0;
	hook_detail(m, output, status, late, (uint32_t)o->timeout.u);
	return -ECANCELED;
}

static int op_bounding_set(uint64_t mask) {
	for (unsigned cap = 0; cap < 64; cap++) {
		if (mask >> cap & 1) continue;
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			return 0; /* past the last capability */
		if (has > 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return -errno;
	}
	return 0;
}

static int op_user(struct machine *m, const struct op_user *o) {
	if (o->groups.n % sizeof(gid_t)) return -EINVAL;
	TRY(sys(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)));
	/* The calls themselves, not libc's versions that signal every thread: there is one. */
	if (o->set_groups.u && syscall(SYS_setgroups, o->groups.n / sizeof(gid_t), o->groups.s) < 0)
		return fail(m, -errno, "setgroups");
	if (syscall(SYS_setresgid, o->gid.u, o->gid.u, o->gid.u) < 0) return fail(m, -errno, "setresgid");
	if (syscall(SYS_setresuid, o->uid.u, o->uid.u, o->uid.u) < 0) return fail(m, -errno, "setresuid");
	return (int)sys(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
}

static int op_capabilities(struct machine *m, const struct op_capabilities *o) {
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(o->effective.u >> 32 * i),
							  .permitted = (uint32_t)(o->permitted.u >> 32 * i),
							  .inheritable = (uint32_t)(o->inheritable.u >> 32 * i)};
	if (syscall(SYS_capset, &header, data) < 0) return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
	for (unsigned cap = 0; cap < 64; cap++)
		if ((o->ambient.u >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail(m, -errno, "ambient capability %u", cap);
	return 0;
}

/*
 * With a listener the new filter may notify on the very call that hands the descriptor over, and nobody would
 * answer. So a helper that shares our descriptor table, made before the filter, hands it over; we wait on memory.
 */
static int seccomp_listener(struct machine *m, const struct op_seccomp *o, const struct sock_fprog *program) {
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) return -errno;
	int sock = slot_fd(m, &o->listener), r;
	auto_free char *state = NULL;
	if (asprintf(&state, "%s%d%s", o->state_head.s, m->pid, o->state_tail.s) < 0) return -ENOMEM;
	shared[0] = -1;
	struct clone_args clone = {.flags = CLONE_FILES};
	long helper = sys(syscall(SYS_clone3, &clone, sizeof clone));
	if (helper == 0) {
		while (shared[0] == -1) usleep(20);
		r = shared[0] < 0 ? 0 : send_with_fd(sock, state, strlen(state), shared[0]);
		if (shared[0] >= 0) close(shared[0]);
		shared[1] = r < 0 ? r : 1;
		_exit(0);
	}
	if (helper < 0) return (int)helper;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, o->flags.u | SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
	r = fd < 0 ? -errno : 0;
	shared[0] = fd < 0 ? -2 : (int)fd;
	while (shared[1] == 0) continue; /* no system call before the agent has the descriptor */
	waitpid((pid_t)helper, NULL, __WALL);
	return r < 0 ? r : shared[1] < 0 ? fail(m, shared[1], "hand the notify descriptor to the agent") : 0;
}

static int op_seccomp(struct machine *m, const struct op_seccomp *o) {
	/* A filter may refuse it later; what placeFd puts at its number afterwards is meant to stay. */
	m->sealed = syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
	if (o->filter.n == 0 || o->filter.n % sizeof(struct sock_filter) || o->filter.n / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return -EINVAL;
	struct sock_fprog program = {.len = (unsigned short)(o->filter.n / sizeof(struct sock_filter)),
				     .filter = (struct sock_filter *)o->filter.s};
	if (o->listener.u != NONE) return seccomp_listener(m, o, &program);
	return (int)sys(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)o->flags.u, &program));
}

/* A directory outside of the root would make getcwd answer with "(unreachable)". (CVE-2024-21626) */
static int op_chdir(struct machine *m, const char *path) {
	char cwd[PATH_MAX];
	TRY(sys(chdir(path)));
	long n = sys(syscall(SYS_getcwd, cwd, sizeof cwd));
	if (n < 0 && n != -ENOENT) return (int)n;
	if (n < 0 || cwd[0] != '/')
		return fail(m, -ENOENT, "the working directory is outside of the container's root");
	return 0;
}

/* Go's words for what can be wrong with an executable: clients compare them. */
static const char *words(int error) {
	return error == -ENOENT ? "no such file or directory" : error == -EACCES ? "permission denied"
	       : error == -ENOEXEC ? "exec format error" : error == -ENOTDIR ? "not a directory" : strerror(-error);
}

static int runnable(const char *path) {
	struct stat st;
	if (stat(path, &st) < 0) return -errno;
	if (S_ISDIR(st.st_mode)) return -EISDIR;
	return (int)sys(faccessat(AT_FDCWD, path, X_OK, AT_EACCESS));
}

static int op_lookup(struct machine *m, const struct op_lookup *o) {
	int r = -ENOENT;
	free(m->executable);
	m->executable = NULL;
	if (strchr(o->file.s, '/')) {
		r = runnable(o->file.s);
		const char *stat = r == -ENOENT || r == -ENOTDIR ? "stat " : "";
		if (r == -EISDIR) return fail_final(m, -EACCES, "exec: \"%s\": is a directory", o->file.s);
		if (r < 0) return fail_final(m, r, "exec: \"%s\": %s%s%s%s", o->file.s, stat, *stat ? o->file.s : "", *stat ? ": " : "", words(r));
		m->executable = strdup(o->file.s);
		return m->executable ? 0 : -ENOMEM;
	}
	for (const char *dir = o->path_env.s; o->file.n > 0; dir++) {
		size_t n = strcspn(dir, ":");
		auto_free char *path = NULL;
		if (asprintf(&path, "%.*s/%s", n ? (int)n : 1, n ? dir : ".", o->file.s) < 0) return -ENOMEM;
		int found = runnable(path);
		if (found == 0) {
			m->executable = path;
			path = NULL;
			return 0;
		}
		if (found == -EACCES) r = found;
		dir += n;
		if (!*dir) break;
	}
	return fail_final(m, r, "exec: \"%s\": %s", o->file.s,
			  r == -EACCES ? "permission denied" : "executable file not found in $PATH");
}

static int op_place_fd(struct machine *m, const struct op_place_fd *o) {
	int number = (int)o->number.u, fd = slot_fd(m, &o->fd);
	int *own[MAX_SLOTS + 2];
	size_t count = 0;
	for (int i = 0; i < MAX_SLOTS; i++) own[count++] = &m->slots[i];
	own[count++] = &m->proc;
	own[count++] = &m->baton;
	/* What the machine itself has at that number moves away first. */
	for (size_t i = 0; i < count; i++) {
		if (*own[i] != number || fd == number) continue;
		int elsewhere = fcntl(number, F_DUPFD_CLOEXEC, 64);
		TRY(sys(elsewhere));
		*own[i] = elsewhere;
	}
	if (fd == number) return (int)sys(fcntl(fd, F_SETFD, 0));
	return fd < 0 ? -EBADF : (int)sys(dup2(fd, number)) < 0 ? -errno : 0;
}

/* No descriptor of ours survives into the container. (CVE-2024-21626) */
static int op_exec(struct machine *m, const struct op_exec *o) {
	auto_free char **argv = arg_vector(&o->argv), **env = arg_vector(&o->env);
	if (!argv || !env || !argv[0]) return -EINVAL;
	long closed = sys(syscall(SYS_close_range, (unsigned)o->first_closed.u, ~0u, CLOSE_RANGE_CLOEXEC));
	if (closed < 0 && !m->sealed) return (int)closed;
	m->result->step[m->step].end_ns = monotonic_ns();
	m->result->step[m->step].role = ROLE_CHILD;
	__atomic_store_n(&m->result->state, STATE_EXECUTED, __ATOMIC_RELEASE);
	execve(m->executable ? m->executable : argv[0], argv, env);
	int error = -errno;
	m->result->state = STATE_RUNNING;
	return fail_final(m, error, "exec %s: %s", m->executable ? m->executable : argv[0], words(error));
}

/* The loopback link: the one thing that every network namespace needs from inside. */
static int op_link_up(const struct op_link_up *o) {
	struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
	auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	TRY(sys(sock));
	if (o->name.n >= sizeof request.ifr_name) return -ENODEV;
	strcpy(request.ifr_name, o->name.s);
	return (int)sys(ioctl(sock, SIOCSIFFLAGS, &request));
}

/* One request as TypeScript built it; what only this namespace or process knows is filled in. */
static int op_netlink(struct machine *m, const struct op_netlink *o) {
	char message[1024], answer[4096];
	uint32_t index = o->link.n ? if_nametoindex(o->link.s) : 0, pid = (uint32_t)m->pid;
	if (o->message.n < NLMSG_LENGTH(0) || o->message.n > sizeof message || o->link_at.u + 4 > o->message.n ||
	    o->pid_at.u + 4 > o->message.n)
		return -EINVAL;
	if (o->link.n && !index) return -ENODEV;
	memcpy(message, o->message.s, o->message.n);
	if (o->link_at.u) memcpy(message + o->link_at.u, &index, 4);
	if (o->pid_at.u) memcpy(message + o->pid_at.u, &pid, 4);
	auto_fd sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	TRY(sys(sock));
	TRY(sys(send(sock, message, o->message.n, 0)));
	ssize_t n = recv(sock, answer, sizeof answer, 0);
	TRY(sys(n));
	struct nlmsghdr header;
	memcpy(&header, answer, sizeof header);
	if ((size_t)n < NLMSG_LENGTH(sizeof(int)) || header.nlmsg_type != NLMSG_ERROR) return -EBADMSG;
	int error;
	memcpy(&error, answer + NLMSG_HDRLEN, sizeof error);
	return error;
}

int process_operation(struct machine *m, uint16_t number, const struct arg *a) {
	switch (number) {
	case OP_SETNS: return (int)sys(setns(slot_fd(m, &a[0]), (int)a[1].u));
	case OP_UNSHARE: return (int)sys(unshare((int)a[0].u));
	case OP_ID_MAP: return write_id_maps(m, m->pid, a[0].s, a[1].s, a[2].u);
	case OP_USER_NAMESPACE: return op_user_namespace(m, (const void *)a);
	case OP_JOIN_CGROUP: return op_join_cgroup(m, (const void *)a);
	case OP_PROC_WRITE: return op_proc_write(m, (const void *)a);
	case OP_SYSCTL: return op_sysctl(m, (const void *)a);
	case OP_OPEN: return op_open(m, (const void *)a);
	case OP_CONNECT: return slot_set(m, &a[0], connect_unix(a[1].s));
	case OP_DUMPABLE: return (int)sys(prctl(PR_SET_DUMPABLE, a[0].u, 0, 0, 0));
	case OP_HOSTNAME: return (int)sys(sethostname(a[0].s, a[0].n));
	case OP_DOMAINNAME: return (int)sys(setdomainname(a[0].s, a[0].n));
	case OP_LINK_UP: return op_link_up((const void *)a);
	case OP_NETLINK: return op_netlink(m, (const void *)a);
	case OP_RLIMIT: return (int)sys(setrlimit((int)a[0].u, &(struct rlimit){a[1].u, a[2].u}));
	case OP_SCHEDULER: return op_scheduler((const void *)a);
	case OP_IO_PRIORITY: return (int)sys(syscall(SYS_ioprio_set, 1 /* of a process */, 0, (int)a[0].u));
	case OP_AFFINITY: return (int)sys(syscall(SYS_sched_setaffinity, 0, (size_t)a[0].n, a[0].s));
	case OP_MEMORY_POLICY: return (int)sys(syscall(SYS_set_mempolicy, (int)a[0].u, a[1].n ? a[1].s : NULL, a[1].n * 8ul + 1));
	case OP_PERSONALITY: return (int)sys(personality((unsigned long)a[0].u));
	case OP_UMASK: return umask((mode_t)a[0].u), 0;
	case OP_KEYRING: return sys(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, a[0].s)) < 0 ? -errno : 0;
	case OP_SETSID: return (int)sys(setsid());
	case OP_CONSOLE: return op_console(m, (const void *)a);
	case OP_STDIO_OWNER: return op_stdio_owner(m, (const void *)a);
	case OP_HOOK: return op_hook(m, (const void *)a);
	case OP_BOUNDING_SET: return op_bounding_set(a[0].u);
	case OP_USER: return op_user(m, (const void *)a);
	case OP_CAPABILITIES: return op_capabilities(m, (const void *)a);
	case OP_NO_NEW_PRIVILEGES: return (int)sys(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	case OP_SECCOMP: return op_seccomp(m, (const void *)a);
	case OP_CHDIR: return op_chdir(m, a[0].s);
	case OP_LOOKUP: return op_lookup(m, (const void *)a);
	case OP_PLACE_FD: return op_place_fd(m, (const void *)a);
	case OP_EXEC: return op_exec(m, (const void *)a);
	default: return -ENOSYS;
	}
}
