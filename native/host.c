/*
 * Outside of the machine. `host` starts the machine and the server of its files, carries channels (in a process of its
 * own), and is then the proxy of the container's first process. `proxy` stands for one process inside: it has that one's stdio, passes
 * signals on, and ends with its status. Both run in a container of our own runtime, as little privileged as QEMU.
 *
 *   host|proxy REQUEST STATUS RESULT
 *
 * REQUEST is a file with requests, the last of which spawns; STATUS a socket for READY or FAILED ("" for none), the latter
 * with our words or the plan's result area, which is RESULT inside.
 */
#include "agent.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/signalfd.h>
#include <termios.h>

#define CHUNK 32768
#define NOBODY 65534 /* whom the machine runs as */
#define END_PATIENCE 10000 /* for what the machine has not written yet */
#define FRAME_BYTES (READ_BYTES + 64)

static int status = -1;
static char agent[108]; /* the socket for channels, beside the request */

static void tell(uint8_t type, const void *payload, size_t size) {
	if (status >= 0) frame_put(status, type, payload, size);
	if (status >= 0) close(status);
	status = -1;
}

static int give_up(const char *what, int error) {
	char text[512];
	snprintf(text, sizeof text, "%s%s%s", what, error ? ": " : "", error ? strerror(-error) : "");
	if (status < 0) dprintf(2, "corten: %s\n", text);
	tell(FRAME_FAILED, text, strlen(text));
	return 255;
}

/* ---- a proxy ---- */

struct output {
	int fd;
	size_t at, used;
	char bytes[FRAME_BYTES];
};

struct proxy {
	int sock, signals;
	const char *result;
	bool running, no_input;
	uint32_t id;
	struct output out[2];
	size_t used;
	char in[sizeof(struct frame) + FRAME_BYTES];
	int code;
};

static int ask(struct proxy *p, uint8_t type, uint32_t a, uint32_t b, size_t words) {
	uint32_t payload[3] = {p->id++, a, b};
	return frame_put(p->sock, type, payload, words * sizeof *payload);
}

static int resize(struct proxy *p) {
	struct winsize size;
	if (ioctl(0, TIOCGWINSZ, &size) < 0) return 0;
	return ask(p, FRAME_RESIZE, size.ws_row, size.ws_col, 3);
}

static int number_after(const char *text, const char *name, int otherwise) {
	const char *found = strstr(text, name);
	return found ? (int)strtol(found + strlen(name), NULL, 10) : otherwise;
}

/* Why a plan failed: its result area, after four bytes that are zero. */
static int tell_result(const char *path) {
	struct frame f;
	uint32_t length = (uint32_t)strlen(path);
	char request[256], bytes[65536];
	if (length + 6 > sizeof request) return -ENAMETOOLONG;
	auto_fd sock = connect_unix(agent);
	TRY(sock);
	memcpy(request, &length, sizeof length);
	memcpy(request + sizeof length, path, length + 1);
	TRY(frame_put(sock, REQUEST_READ, request, sizeof length + length + 1));
	TRY(read_exact(sock, &f, sizeof f));
	if (f.length < sizeof(int32_t) || f.length > sizeof bytes) return -EPROTO;
	TRY(read_exact(sock, bytes, f.length));
	if (memcmp(bytes, "\0\0\0\0", 4) != 0) return -ENOENT;
	tell(FRAME_FAILED, bytes, f.length);
	return 0;
}

/* Where the monitor outside looks for OOM kills at the end: the file is as that of a cgroup v2. */
static void note_oom(void) {
	static const char text[] = "oom_kill 1\n";
	auto_fd fd = open("/vm/memory.events", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) write_all(fd, text, sizeof text - 1);
}

/* One whole frame of the machine's; 1 when the process has ended. */
static int handle(struct proxy *p, const struct frame *f, const char *payload) {
	int32_t error = 0;
	char record[1100];
	if (f->type & REQUEST_ANSWER) {
		if (f->length < sizeof error) return -EPROTO;
		memcpy(&error, payload, sizeof error);
		if (error == 0) return 0;
		char what[64];
		snprintf(what, sizeof what, "the machine refuses request %d", f->type & ~REQUEST_ANSWER);
		p->code = give_up(what, error);
		return 1;
	}
	switch (f->type) {
	case FRAME_READY:
		tell(FRAME_READY, payload, f->length);
		p->running = true;
		TRY(ask(p, FRAME_ATTACH, 1 | 2 | 4 | 8, 0, 2));
		return resize(p);
	case FRAME_FAILED:
		if (f->length > 0 || tell_result(p->result) < 0) tell(FRAME_FAILED, payload, f->length);
		p->code = 255;
		return 1;
	case FRAME_STDOUT:
	case FRAME_STDERR: {
		struct output *o = &p->out[f->type == FRAME_STDERR];
		if (f->length > sizeof o->bytes) return -EPROTO;
		memcpy(o->bytes, payload, f->length);
		o->at = 0;
		o->used = f->length;
		return 0;
	}
	case FRAME_EXIT:
		if (f->length >= sizeof record) return -EPROTO;
		memcpy(record, payload, f->length);
		record[f->length] = 0;
		p->code = number_after(record, "\"exitCode\":", 255) & 255;
		if (strstr(record, "\"oomKilled\":true")) note_oom();
		return 1;
	default:
		return 0; /* acknowledgements */
	}
}

static int output_out(struct output *o) {
	ssize_t n = write(o->fd, o->bytes + o->at, o->used - o->at);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
	o->at = n < 0 ? o->used : o->at + (size_t)n; /* nobody reads: it is lost, as in a pipe without a reader */
	if (o->at == o->used) o->at = o->used = 0;
	return 0;
}

/* Handles frames as long as their output can go somewhere. */
static int frames(struct proxy *p) {
	struct frame f;
	while (p->used >= sizeof f && p->out[0].used == 0 && p->out[1].used == 0) {
		memcpy(&f, p->in, sizeof f);
		if (f.length > FRAME_BYTES) return -EPROTO;
		if (p->used < sizeof f + f.length) return 0;
		int r = handle(p, &f, p->in + sizeof f);
		if (r != 0) return r;
		p->used -= sizeof f + f.length;
		memmove(p->in, p->in + sizeof f + f.length, p->used);
	}
	return 0;
}

static int socket_in(struct proxy *p) {
	ssize_t n = read(p->sock, p->in + p->used, sizeof p->in - p->used);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
	if (n <= 0) return n < 0 ? -errno : -ECONNRESET;
	p->used += (size_t)n;
	return 0;
}

static int input_in(struct proxy *p) {
	char bytes[CHUNK];
	ssize_t n = read(0, bytes, sizeof bytes);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
	if (n > 0) return frame_put(p->sock, FRAME_STDIN, bytes, (size_t)n);
	p->no_input = true;
	return ask(p, FRAME_STDIN_CLOSE, 0, 0, 1);
}

static int signal_in(struct proxy *p) {
	struct signalfd_siginfo info;
	if (read(p->signals, &info, sizeof info) != sizeof info) return 0;
	if (info.ssi_signo == SIGCHLD) {
		while (waitpid(-1, NULL, WNOHANG) > 0) continue;
		return 0;
	}
	if (!p->running) return 0;
	return info.ssi_signo == SIGWINCH ? resize(p) : ask(p, FRAME_SIGNAL, info.ssi_signo, 0, 2);
}

static int send_requests(int sock, const char *path) {
	char bytes[CHUNK];
	auto_fd file = open(path, O_RDONLY | O_CLOEXEC);
	TRY(sys(file));
	ssize_t n;
	while ((n = read(file, bytes, sizeof bytes)) > 0) TRY(write_all(sock, bytes, (size_t)n));
	return (int)sys(n);
}

/* Until the process inside ends; what the terminal and the pipes carry goes as it is. */
static int run_proxy(char **argv, int signals) {
	static struct proxy proxy;
	struct proxy *p = &proxy;
	struct termios raw;
	p->signals = signals;
	p->result = argv[2];
	p->out[0].fd = 1;
	p->out[1].fd = 2;
	p->id = 1;
	if (tcgetattr(0, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(0, TCSANOW, &raw);
	}
	p->sock = connect_unix(agent);
	if (p->sock < 0) return give_up("the machine does not answer", p->sock);
	int r = send_requests(p->sock, argv[0]);
	while (r == 0) {
		bool full = p->out[0].used > 0 || p->out[1].used > 0;
		struct pollfd polled[] = {
			{.fd = full ? -1 : p->sock, .events = POLLIN},
			{.fd = p->signals, .events = POLLIN},
			{.fd = p->running && !p->no_input ? 0 : -1, .events = POLLIN},
			{.fd = p->out[0].used > 0 ? 1 : -1, .events = POLLOUT},
			{.fd = p->out[1].used > 0 ? 2 : -1, .events = POLLOUT},
		};
		if (poll(polled, 5, -1) < 0) continue;
		if (polled[0].revents) r = socket_in(p);
		for (int i = 0; i < 2 && r == 0; i++)
			if (polled[3 + i].revents) r = output_out(&p->out[i]);
		if (r == 0) r = frames(p);
		if (r == 0 && polled[1].revents) r = signal_in(p);
		if (r == 0 && polled[2].revents) r = input_in(p);
	}
	close(p->sock);
	if (r < 0) return give_up(p->running ? "the machine ended" : "the machine did not start the process", r == -ECONNRESET ? 0 : r);
	return p->code;
}

/* All but the ones that would tell of errors of ours. */
static int take_signals(void) {
	sigset_t mask;
	sigfillset(&mask);
	for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, 0}; *s; s++) sigdelset(&mask, *s);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void find_sockets(char **argv) {
	const char *slash = strrchr(argv[0], '/');
	snprintf(agent, sizeof agent, "%.*sagent.sock", slash ? (int)(slash + 1 - argv[0]) : 0, argv[0]);
	if (*argv[1]) status = connect_unix(argv[1]);
}

int proxy_main(char **argv) {
	int signals = take_signals();
	find_sockets(argv);
	return run_proxy(argv, signals);
}

/* ---- the machine ---- */

/* A program with its arguments from a file, each with a NUL; `fd` becomes its descriptor 3. Another user has no rights at all. */
static pid_t start(const char *file, const char *console, int fd, uid_t user) {
	static char text[65536];
	char *argv[512];
	int count = 0;
	auto_fd in = open(file, O_RDONLY | O_CLOEXEC);
	TRY(sys(in));
	ssize_t size = read(in, text, sizeof text - 1);
	if (size <= 0) return -EINVAL;
	text[size] = 0;
	for (char *p = text; p < text + size && count < 511; p += strlen(p) + 1) argv[count++] = p;
	argv[count] = NULL;
	pid_t pid = fork();
	if (pid != 0) return pid < 0 ? -errno : pid;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	int null = open("/dev/null", O_RDWR), out = open(console, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	fd = fcntl(fd, F_DUPFD, 10);
	dup2(fd, 3);
	syscall(SYS_close_range, 4, ~0u, 0);
	if (user > 0 && (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0)) _exit(126);
	execv(argv[0], argv);
	dprintf(2, "exec %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* What the machine and the server of files needed to start, we do not need to carry their bytes. */
static int drop_capabilities(void) {
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};
	return (int)sys(syscall(SYS_capset, &header, none));
}

/* The container's data is on the host when its process is known to have ended. */
static void settle(void) {
	auto_fd sock = connect_unix(agent);
	if (sock < 0 || frame_put(sock, REQUEST_SYNC, "", 0) < 0) return;
	struct pollfd polled = {.fd = sock, .events = POLLIN};
	poll(&polled, 1, END_PATIENCE);
}

int host_main(char **argv) {
	int signals = take_signals(), pair[2];
	find_sockets(argv);
	int files = listen_unix("/vm/files.sock"), listener = listen_unix(agent);
	if (files < 0 || listener < 0) return give_up("sockets in /vm", files < 0 ? files : listener);
	if (chown("/vm/files.sock", NOBODY, NOBODY) < 0) return give_up("/vm/files.sock", -errno);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return give_up("socketpair", -errno);
	fcntl(files, F_SETFL, fcntl(files, F_GETFL) & ~O_NONBLOCK);
	int r = start("/vm/files.argv", "/vm/files.log", files, 0);
	if (r >= 0) r = start("/vm/machine.argv", "/vm/console.log", pair[1], NOBODY);
	if (r >= 0) r = drop_capabilities();
	if (r < 0) return give_up("start the machine", r);
	close(files);
	close(pair[1]);
	pid_t mux = fork();
	if (mux < 0) return give_up("fork", -errno);
	if (mux == 0) {
		if (status >= 0) close(status);
		for (int i = 0; i < 3; i++) close(i);
		_exit(mux_run(pair[0], listener, NULL) < 0);
	}
	close(pair[0]);
	close(listener);
	int code = run_proxy(argv, signals);
	settle();
	/* The rest ends with us: we are the first process of its PID namespace. */
	return code;
}
