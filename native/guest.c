/*
 * The first process of a virtual machine: mounts what the kernel offers, loads the modules that came along, mounts what the
 * host shares, and serves channels. Each is served by a process of its own, which does as it is told; asked to spawn, it
 * becomes the monitor of the new process, with the channel as the monitor's control socket.
 */
#include "agent.h"
#include <dirent.h>
#include <linux/netlink.h>
#include <sys/mount.h>
#include <sys/reboot.h>

#define FDS 64

/* ---- requests ---- */

struct reader {
	const char *at, *end;
};

static uint32_t take_u32(struct reader *r) {
	uint32_t value = 0;
	if (r->end - r->at < 4) r->at = r->end = NULL;
	if (!r->at) return 0;
	memcpy(&value, r->at, 4);
	r->at += 4;
	return value;
}

/* Length, content, NUL: used in place. NULL for what is malformed, as everything after it. */
static const char *take_bytes(struct reader *r, uint32_t *length) {
	*length = take_u32(r);
	if (!r->at || *length >= (size_t)(r->end - r->at) || r->at[*length] != 0) {
		r->at = r->end = NULL;
		return NULL;
	}
	const char *found = r->at;
	r->at += *length + 1;
	return found;
}

static int file_of(const char *name, const char *bytes, size_t size) {
	int fd = (int)syscall(SYS_memfd_create, name, 0);
	if (fd >= 0 && write_all(fd, bytes, size) == 0) return fd;
	return -EIO;
}

/* A descriptor for the plan: a path to open, a process, or a FIFO to make. */
static int open_for_plan(uint32_t kind, uint32_t argument, const char *path) {
	if (kind == 1) return (int)sys(syscall(SYS_pidfd_open, argument, 0));
	if (kind == 2) {
		TRY(sys(mkfifo(path, 0622)));
		TRY(sys(chmod(path, 0622)));
	}
	return (int)sys(open(path, (int)argument));
}

/* Leaves only by failing: otherwise this process is a monitor now. */
static int spawn(int sock, struct reader *r) {
	int fds[FDS];
	uint32_t size, length, count = take_u32(r);
	if (count > FDS - 4) return -EINVAL;
	const char *dir = take_bytes(r, &length);
	if (!dir) return -EINVAL;
	TRY(sys(mkdir(dir, 0700)));
	for (uint32_t i = 0; i < count; i++) {
		uint32_t kind = take_u32(r), argument = take_u32(r);
		const char *path = take_bytes(r, &length);
		if (!path) return -EINVAL;
		TRY(fds[4 + i] = open_for_plan(kind, argument, path));
	}
	uint32_t result = take_u32(r);
	const char *program = take_bytes(r, &size), *plan = take_bytes(r, &length);
	if (!plan || result > (1u << 20)) return -EINVAL;
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/result", dir);
	fds[0] = sock;
	TRY(fds[1] = (int)sys(open(path, O_RDWR | O_CREAT | O_EXCL, 0600)));
	TRY(sys(ftruncate(fds[1], result)));
	TRY(fds[2] = file_of("plan", plan, length));
	TRY(fds[3] = file_of("program", program, size));
	/* Out of the way of the numbers they are to have. */
	for (uint32_t i = 0; i < count + 4; i++) TRY(fds[i] = (int)sys(fcntl(fds[i], F_DUPFD_CLOEXEC, 2 * FDS)));
	for (uint32_t i = 0; i < count + 4; i++) TRY(sys(dup2(fds[i], 3 + (int)i)));
	syscall(SYS_close_range, 3 + count + 4, ~0u, 0);
	execl("/corten-native", "corten-native", "monitor", dir, (char *)NULL);
	return -errno;
}

/* Network messages of the host's making, one after the other; the first refusal ends it. */
static int netlink(const char *bytes, size_t size) {
	auto_fd sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	TRY(sys(sock));
	while (size >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		struct {
			struct nlmsghdr head;
			struct nlmsgerr error;
			char rest[4096];
		} answer;
		memcpy(&h, bytes, sizeof h);
		size_t whole = NLMSG_ALIGN(h.nlmsg_len);
		if (h.nlmsg_len < sizeof h || whole > size) return -EINVAL;
		TRY(sys(send(sock, bytes, h.nlmsg_len, 0)));
		ssize_t n = recv(sock, &answer, sizeof answer, 0);
		TRY(sys(n));
		if ((size_t)n < sizeof answer.head + sizeof answer.error || answer.head.nlmsg_type != NLMSG_ERROR) return -EPROTO;
		TRY(answer.error.error);
		bytes += whole;
		size -= whole;
	}
	return 0;
}

static int make_directory(const char *path, mode_t mode) {
	TRY(sys(mkdir(path, 0755)));
	return mode ? (int)sys(chmod(path, mode)) : 0;
}

/* What was mounted for a container of a pod, or a directory of its own: it is at most one of them. */
static int remove_place(const char *path) {
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ? 0 : (int)sys(rmdir(path));
}

static int write_file(const char *path, const char *bytes, uint32_t size) {
	auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);
	TRY(sys(fd));
	return size == (uint32_t)sys(write(fd, bytes, size)) ? 0 : -errno;
}

/* The answer: the request's number with a bit set; -errno or 0, and of a read file the content. */
static int answer(int sock, uint8_t type, int32_t error, const char *bytes, size_t size) {
	auto_free char *payload = malloc(sizeof error + size);
	if (!payload) return -ENOMEM;
	memcpy(payload, &error, sizeof error);
	if (size > 0) memcpy(payload + sizeof error, bytes, size);
	return frame_put(sock, type | REQUEST_ANSWER, payload, sizeof error + size);
}

static int read_file(int sock, const char *path) {
	auto_free char *bytes = malloc(READ_BYTES);
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!bytes || fd < 0) return answer(sock, REQUEST_READ, -errno, NULL, 0);
	size_t used = 0;
	ssize_t n = 0;
	while (used < READ_BYTES && (n = read(fd, bytes + used, READ_BYTES - used)) > 0) used += (size_t)n;
	return answer(sock, REQUEST_READ, n < 0 ? -errno : 0, bytes, used);
}

static int serve(int sock) {
	for (;;) {
		struct frame f;
		uint32_t length, size;
		TRY(read_exact(sock, &f, sizeof f));
		if (f.length > REQUEST_BYTES) return -EMSGSIZE;
		auto_free char *payload = malloc(f.length + 1);
		if (!payload) return -ENOMEM;
		TRY(read_exact(sock, payload, f.length));
		struct reader r = {.at = payload, .end = payload + f.length};
		int error = -EINVAL;
		const char *path = f.type == REQUEST_SPAWN || f.type == REQUEST_SYNC ? "" : take_bytes(&r, &length);
		if (path && f.type == REQUEST_READ) {
			TRY(read_file(sock, path));
			continue;
		}
		if (path && f.type == REQUEST_SPAWN) error = spawn(sock, &r);
		else if (path && f.type == REQUEST_MKDIR) error = make_directory(path, take_u32(&r));
		else if (path && f.type == REQUEST_REMOVE) error = remove_place(path);
		else if (path && f.type == REQUEST_NETLINK) error = netlink(path, length);
		else if (f.type == REQUEST_SYNC) sync(), error = 0;
		else if (path && f.type == REQUEST_WRITE) {
			const char *bytes = take_bytes(&r, &size);
			if (bytes) error = write_file(path, bytes, size);
		}
		TRY(answer(sock, f.type, error, NULL, 0));
	}
}

static pid_t opened(int sock) {
	pid_t pid = fork();
	if (pid != 0) return pid;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The other end of this channel, and of all others, must not live on in us. */
	if (sock != 3 && dup2(sock, 3) < 0) _exit(1);
	syscall(SYS_close_range, 4, ~0u, 0);
	_exit(serve(3) < 0 ? 1 : 0);
}

/*
 * The client of a process is gone, and with it what stood for that process outside. A monitor that still runs works in its
 * directory, where the number of its process is: that one must not outlive its other half.
 */
static void left(pid_t pid) {
	char path[64], text[16];
	snprintf(path, sizeof path, "/proc/%d/cwd/pid", pid);
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0) return;
	text[n] = 0;
	pid_t process = (pid_t)strtol(text, NULL, 10);
	if (process > 1) kill(process, SIGKILL);
}

/* ---- boot ---- */

static void fail(const char *what) {
	dprintf(1, "corten-agent: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static void mount_at(const char *type, const char *source, const char *target, unsigned long flags, const char *data) {
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data) < 0) fail(target);
}

/* A container's root is put in place by pivot_root, which the first root of all cannot take part in: we move to one that can. */
static void change_root(void) {
	static const char *const moved[] = {"/dev", "/proc", "/sys", "/run", "/shared"};
	char bytes[65536], path[32];
	ssize_t n;
	mount_at("tmpfs", "tmpfs", "/root", 0, "mode=0755");
	auto_fd from = open("/corten-native", O_RDONLY | O_CLOEXEC);
	auto_fd to = open("/root/corten-native", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	while ((n = read(from, bytes, sizeof bytes)) > 0)
		if (write_all(to, bytes, (size_t)n) < 0) fail("corten-native");
	if (n < 0) fail("corten-native");
	for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
		snprintf(path, sizeof path, "/root%s", moved[i]);
		mkdir(path, 0755);
		if (mount(moved[i], path, NULL, MS_MOVE, NULL) < 0) fail(path);
	}
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) fail("the root");
}

/* In the order of their names, which is that of their needs. */
static void load_modules(void) {
	struct dirent **found;
	int count = scandir("/modules", &found, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		char path[300];
		snprintf(path, sizeof path, "/modules/%s", found[i]->d_name);
		if (found[i]->d_name[0] == '.') continue;
		auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) fail(path);
		unlink(path);
	}
}

/* The port of a virtio-serial device, once it is there and the host has its end open. */
static int open_port(void) {
	int fd = -1;
	for (int i = 0; i < 32000; i++) {
		char path[32];
		snprintf(path, sizeof path, "/dev/vport%dp1", i % 16); /* numbered by its place among the devices */
		if (fd < 0) fd = open(path, O_RDWR | O_CLOEXEC);
		struct pollfd polled = {.fd = fd, .events = POLLOUT};
		if (fd >= 0 && poll(&polled, 1, 0) == 1 && !(polled.revents & POLLHUP)) return fd;
		if (i % 16 == 15) usleep(5000);
	}
	return -1;
}

static void reap(int number) {
	int saved = errno;
	while (waitpid(-1, NULL, WNOHANG) > 0) continue;
	errno = saved;
}

int guest_serve(int stream) {
	static const struct mux_guest guest = {.opened = opened, .left = left};
	struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGCHLD, &reaping, NULL);
	return mux_run(stream, -1, &guest);
}

int guest_main(void) {
	mount_at("devtmpfs", "devtmpfs", "/dev", MS_NOSUID, NULL);
	auto_fd console = open("/dev/console", O_RDWR);
	for (int i = 0; i < 3 && console >= 0; i++) dup2(console, i);
	mount_at("proc", "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("cgroup2", "cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("tmpfs", "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0700");
	mount_at("devpts", "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, NULL);
	load_modules();
	mount_at("virtiofs", "shared", "/shared", 0, NULL);
	change_root();
	int port = open_port();
	if (port < 0) fail("the port to the host");
	errno = -guest_serve(port);
	fail("the channel to the host");
	return 1;
}
