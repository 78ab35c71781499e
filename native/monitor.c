/*
 * `corten-native monitor <dir>`: owns one container process (or one exec), so that no daemon has to live for it.
 *
 * It holds the pty master or the pipes, writes the log, serves clients on <dir>/monitor.sock, and records the
 * exit in <dir>/exit.json. It runs the plan itself, or has a foreign OCI runtime make the container and adopts it as
 * subreaper, or has no process and only passes on what comes through FIFOs.
 *
 * Descriptors: 3 control (the spawner, a client like the others), 4 result area, 5 plan, 6 the monitor's own
 * operations, 7… the plan's. One thread, one epoll; nothing here waits for a client.
 */
#include "monitor.h"
#include <linux/sockios.h>
#include <sys/signalfd.h>

#define LINGER_PATIENCE 60000 /* what a client gets to read the rest after the exit */
#define SINK_PATIENCE 1000 /* what a FIFO's reader gets after the exit */
#define HOLD_PATIENCE 10000 /* what a client gets to attach after the exit, when output is held for it */
#define OOM_PAUSE 100 /* between looks at counters that others may move all the time */
#define DRAIN_LIMIT (4u << 20) /* output read after the exit, should a left-over process write on and on */

/* ---- the end ---- */

/* Visible only complete: a temporary name, then a rename. Our working directory is the monitor's own. */
static void write_file(const char *name, const char *content) {
	auto_fd fd = open(".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && write_all(fd, content, strlen(content)) == 0) rename(".tmp", name);
}

/* A cgroup's OOM kills so far, of any process in it, as Docker has it; -1 when it is gone. */
static int64_t oom_kills(int fd) {
	char text[1024] = "";
	if (pread(fd, text, sizeof text - 1, 0) <= 0) return -1;
	const char *found = strstr(text, "oom_kill ");
	return found ? strtoll(found + 9, NULL, 10) : 0;
}

/*
 * systemd removes a container's cgroup, and the counter with it, as soon as the last process is dead. The cgroup above
 * counts the same kills (v2), and those of others: it is watched, so that what it has counted since our last look, at
 * most OOM_PAUSE ago, is ours. It is read first, so that no kill between the two reads is lost.
 */
static void oom_look(struct monitor *m, struct source *s, uint32_t events) {
	int64_t above = oom_kills(s->fd);
	auto_fd fd = open(m->oom_path, O_RDONLY | O_CLOEXEC);
	int64_t own = oom_kills(fd);
	m->oom |= own < 0 ? above > m->oom_above : own > m->oom_own;
	if (own >= 0) m->oom_own = own;
	if (own >= 0) m->oom_above = above;
	m->oom_ms = now_ms();
	watch(m, s, 0);
}

static void record_exit(struct monitor *m) {
	char time[40], signal[24] = "";
	time[format_time(time, &m->exit_time)] = 0;
	int code = WIFSIGNALED(m->status) ? 128 + WTERMSIG(m->status) : WEXITSTATUS(m->status);
	if (WIFSIGNALED(m->status)) snprintf(signal, sizeof signal, ",\"signal\":%d", WTERMSIG(m->status));
	for (char *p = m->error; *p; p++) /* so that it needs no escapes */
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 32) *p = *p == '"' ? '\'' : ' ';
	snprintf(m->exit_record, sizeof m->exit_record, "{\"exitCode\":%d%s,\"exitedAt\":\"%s\",\"oomKilled\":%s%s%s%s}", code,
		 signal, time, m->oom ? "true" : "false", *m->error ? ",\"error\":\"" : "", m->error, *m->error ? "\"" : "");
	if (m->mode != RUN_FIFO) write_file("exit.json", m->exit_record);
	m->recorded = true;
	for (struct client *c = m->clients; c; c = c->next)
		if (!c->lagged) client_send(m, c, FRAME_EXIT, m->exit_record, strlen(m->exit_record));
}

/* After the exit: all that is readable goes out first, then the record; a client or FIFO gets bounded time. */
static void finish_if_done(struct monitor *m) {
	if (!m->exited || m->recorded) return;
	m->hold &= now_ms() - m->exit_ms < HOLD_PATIENCE;
	if (m->hold) return;
	uint64_t since = m->sink_progress > m->exit_ms ? m->sink_progress : m->exit_ms;
	bool sinks = false;
	for (int i = 0; i < 2; i++) {
		for (size_t n = 0; n < DRAIN_LIMIT && stream_read(m, &m->out[i]); n += CHUNK) continue;
		sinks |= m->out[i].pending.used > 0;
	}
	if (!held_back(m) && (!sinks || now_ms() - since >= SINK_PATIENCE)) record_exit(m);
}

/* True when nothing is left to do: streams ended, clients served or given up. */
static bool all_done(struct monitor *m) {
	if (!m->recorded) return false;
	for (const struct client *c = m->clients; c && m->rootfs >= 0; c = c->next)
		if (c->source.fd >= 0 && c->wants == 0) return false; /* who started us will unmount, and then leave */
	for (int i = 0; i < 2; i++)
		/* A process that outlived its parent still writes: its pipe must not break. */
		if (m->out[i].open || (m->out[i].pending.used > 0 && now_ms() - m->sink_progress < SINK_PATIENCE))
			return false;
	for (struct client *c = m->clients; c; c = c->next) {
		int unread = 0; /* in the socket: a reader that finds it closed may not look for more */
		if (c->source.fd < 0 || ioctl(c->source.fd, SIOCOUTQ, &unread) < 0) continue;
		if (unread != c->unread) c->progress = now_ms();
		c->unread = unread;
		if ((c->out.used > 0 || unread > 0) && (c->wants & ATTACH_WAIT || now_ms() - c->progress < LINGER_PATIENCE))
			return false;
	}
	return true;
}

static void process_ended(struct monitor *m, int status) {
	if (m->exited) return;
	m->exited = true;
	m->status = status;
	m->exit_ms = now_ms();
	clock_gettime(CLOCK_REALTIME, &m->exit_time);
	if (m->oom_path) oom_look(m, &m->above, 0);
	source_close(m, &m->above);
	if (m->machine && m->machine->result->state == STATE_FAILED)
		snprintf(m->error, sizeof m->error, "%.500s", m->machine->result->detail[0] ? m->machine->result->detail : "the plan failed");
}

/* ---- how the process comes to be ---- */

static void announce(struct monitor *m, pid_t pid) {
	char text[16];
	m->pid = pid;
	m->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	snprintf(text, sizeof text, "%d\n", pid);
	write_file("pid", text);
	m->oom_above = INT64_MAX;
	if (m->oom_path) {
		m->above = (struct source){.fd = open(m->above_path, O_RDONLY | O_CLOEXEC), .ready = oom_look};
		oom_look(m, &m->above, 0);
		m->oom = false; /* what was before does not count */
	}
	int32_t ready = pid;
	for (struct client *c = m->clients; c; c = c->next) client_send(m, c, FRAME_READY, &ready, sizeof ready);
}

static void fail_runtime(struct monitor *m, const char *text) {
	while (stream_read(m, &m->out[1]) || stream_read(m, &m->out[0])) continue;
	struct queue *words = &m->out[STREAM_STDERR].early; /* no output of a container that never was */
	size_t size = words->used > 0 ? words->used : strlen(text);
	int n = size < sizeof m->error ? (int)size : (int)sizeof m->error - 1;
	const char *last = (words->used > 0 ? words->bytes : text) + size - n;
	for (struct client *c = m->clients; c; c = c->next) client_send(m, c, FRAME_FAILED, last, (size_t)n);
	snprintf(m->error, sizeof m->error, "%.*s", n, last);
	words->used = m->out[STREAM_STDOUT].early.used = 0;
	m->hold = false;
	m->runtime = 0;
	process_ended(m, 0xff00);
}

static void foreign_ready(struct monitor *m, struct source *s, uint32_t events) {
	watch(m, s, 0);
	snprintf(m->error, sizeof m->error, "the status of process %d is not known: it is no child of the monitor", m->pid);
	process_ended(m, 0xff00);
}

/* The foreign runtime is done: its container's process is ours now, as the subreaper above it. */
static void runtime_ended(struct monitor *m, int status) {
	char text[32];
	if (status != 0) return fail_runtime(m, "the runtime failed without a message");
	if (m->terminal && m->console_socket.fd >= 0) {
		int master = -1;
		auto_fd peer = accept4(m->console_socket.fd, NULL, NULL, SOCK_CLOEXEC);
		if (peer >= 0) recv_with_fd(peer, text, sizeof text, &master);
		if (master >= 0) take_master(m, master);
		unlink(m->console_path);
		source_close(m, &m->console_socket);
	}
	auto_fd file = open(m->pid_file, O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	pid_t pid = (pid_t)strtol(text, NULL, 10);
	if (pid <= 0) return fail_runtime(m, "the runtime wrote no pid file");
	m->runtime = 0;
	for (int i = 0; i < 2; i++) stream_settle(m, &m->out[i]);
	announce(m, pid);
	pid_t waited = waitpid(pid, &status, WNOHANG);
	if (waited == pid) {
		process_ended(m, status);
	} else if (waited < 0) {
		/* Not ours to wait for (a sandbox of another process, or reaped by the runtime): its end is all we can see. */
		m->foreign = (struct source){.fd = m->pidfd, .ready = foreign_ready};
		if (m->pidfd >= 0) watch(m, &m->foreign, EPOLLIN);
		else foreign_ready(m, &m->foreign, 0);
	}
}

/*
 * While a foreign runtime works only it is waited for: its process is our child as soon as it ends, and may end before
 * we know its number. Afterwards everything that comes to us as subreaper is.
 */
static void signals_ready(struct monitor *m, struct source *s, uint32_t events) {
	struct signalfd_siginfo info;
	int status;
	if (read(s->fd, &info, sizeof info) < 0) return;
	if (m->runtime > 0 && waitpid(m->runtime, &status, WNOHANG) == m->runtime) runtime_ended(m, status);
	if (m->runtime > 0) return;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == m->pid) process_ended(m, status);
}

static int start_plan(struct monitor *m, int control, const int child[3]) {
	static struct machine machine;
	m->machine = &machine;
	int r = plan_load(&machine, 4, 5, 7);
	TRY(r);
	machine.on_sync = on_sync;
	machine.context = &control;
	memcpy(machine.stdio, child, sizeof machine.stdio);
	r = machine_run(&machine);
	for (uint32_t i = 0; i < MAX_SLOTS; i++)
		if (machine.slots[i] >= 0) close(machine.slots[i]);
	close(machine.proc);
	if (r == 0) close(machine.baton); /* the child is past the last point where it needs us */
	if (r < 0) {
		machine_abandon(&machine);
		return r;
	}
	if (machine.console >= 0) take_master(m, machine.console);
	if (*m->rootfs_path) m->rootfs = open(m->rootfs_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int start_runtime(struct monitor *m, const int child[3]) {
	if (m->terminal) {
		m->console_socket.fd = listen_unix(m->console_path);
		if (m->console_socket.fd < 0) return m->console_socket.fd;
	}
	m->runtime = fork();
	if (m->runtime < 0) return -errno;
	if (m->runtime == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		for (int i = 0; i < 3; i++) dup2(child[i], i);
		execvpe(m->argv[0], m->argv, m->env);
		dprintf(2, "exec %s: %s", m->argv[0], strerror(errno));
		_exit(127);
	}
	return 0;
}

/* Reads our own operations; the container exists when it returns 0, or a foreign runtime is on its way. */
static int set_up(struct monitor *m, int control) {
	struct plan plan;
	struct arg args[MAX_FIELDS];
	void *bytes;
	size_t size;
	bool want_stdin = false;
	int child[3] = {-1, -1, -1};
	int r = map_file(6, MAX_PLAN_BYTES, false, &bytes, &size);
	if (r == 0) r = plan_decode(&plan, bytes, size, true);
	close(6);
	for (uint32_t i = 0; r == 0 && i < plan.count; i++) {
		plan_args(&plan.steps[i], args);
		const struct op_monitor_run *run = (const void *)args;
		const struct op_monitor_log *log = (const void *)args;
		const struct op_monitor_oom *oom = (const void *)args;
		switch (plan.steps[i].desc->number) {
		case OP_MONITOR_RUN:
			m->mode = (enum run_mode)run->mode.u;
			m->terminal = run->terminal.u;
			m->hold = run->hold.u;
			want_stdin = run->input.u;
			m->size = (struct winsize){.ws_row = (unsigned short)run->rows.u, .ws_col = (unsigned short)run->columns.u};
			m->argv = arg_vector(&run->argv);
			m->env = arg_vector(&run->env);
			m->pid_file = run->pid_file.s;
			m->console_path = run->console_socket.s;
			m->rootfs_path = run->rootfs.s;
			break;
		case OP_MONITOR_LOG:
			m->log.path = log->path.s;
			m->log.format = (enum log_format)log->format.u;
			m->log.max_size = log->max_size.u;
			m->log.max_files = (uint32_t)log->max_files.u;
			r = log_open(&m->log);
			break;
		case OP_MONITOR_FIFOS:
			r = open_fifos(m, (const void *)args);
			break;
		case OP_MONITOR_OOM:
			m->oom_path = oom->own.s;
			m->above_path = oom->above.s;
			break;
		}
	}
	plan_free(&plan);
	if (r == 0 && m->mode != RUN_FIFO) r = make_stdio(m, want_stdin, child);
	TRY(r);
	if (m->mode == RUN_PLAN) r = start_plan(m, control, child);
	else if (m->mode == RUN_RUNTIME) r = start_runtime(m, child);
	for (int i = 0; i < 3; i++)
		if (child[i] >= 0) close(child[i]);
	return r;
}

/* Frees us from the daemon: session, directory, its descriptors, its signals. */
static int detach(const char *dir, sigset_t *mask) {
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_DUMPABLE, 0);
	sigfillset(mask);
	sigdelset(mask, SIGSEGV);
	sigdelset(mask, SIGBUS);
	sigdelset(mask, SIGABRT);
	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGCHLD, SIG_DFL);
	mkdir(dir, 0700);
	return chdir(dir);
}

int monitor_main(int argc, char **argv) {
	static struct monitor monitor;
	struct monitor *m = &monitor;
	sigset_t mask;
	if (argc != 1 || fcntl(6, F_GETFD) < 0) {
		dprintf(2, "corten-native monitor is started by corten, not by hand\n");
		return 125;
	}
	m->master = m->pidfd = m->log.fd = m->stdin_keeper = m->rootfs = -1;
	struct source *closed[] = {&m->above, &m->listener, &m->console_socket, &m->stdin_pipe, &m->stdin_fifo,
				   &m->out[0].source, &m->out[0].sink, &m->out[1].source, &m->out[1].sink};
	for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) closed[i]->fd = -1;
	if (detach(argv[0], &mask) < 0) return 125;
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	m->signals = (struct source){.fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
	int r = listen_unix("monitor.sock");
	m->listener = (struct source){.fd = r, .ready = listener_ready};
	fcntl(3, F_SETFL, fcntl(3, F_GETFL) & ~O_NONBLOCK);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	if (r >= 0) r = set_up(m, 3);
	if (r < 0) {
		/* The spawner reads why from the result area, or from our words. */
		const char *why = m->machine ? "" : strerror(-r);
		unlink("monitor.sock");
		frame_send(3, FRAME_FAILED, why, (uint32_t)strlen(why));
		return 125;
	}
	client_add(m, 3);
	if (m->mode != RUN_RUNTIME) announce(m, m->mode == RUN_PLAN ? m->machine->pid : 0);
	watch(m, &m->listener, EPOLLIN);
	watch(m, &m->signals, EPOLLIN);
	watch(m, &m->stdin_fifo, EPOLLIN);
	while (!all_done(m)) {
		struct epoll_event events[16];
		/* Only while someone is waited for with a limit does the clock matter. */
		bool waiting = streams_update(m) || m->closing_stdin || (m->exited && !(m->recorded && (m->out[0].open || m->out[1].open)));
		if (now_ms() - m->oom_ms >= OOM_PAUSE) watch(m, &m->above, EPOLLPRI);
		int n = epoll_wait(m->epoll, events, 16, waiting ? 50 : m->above.fd >= 0 && m->above.events == 0 ? OOM_PAUSE : -1);
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;
			if (s->fd >= 0) s->ready(m, s, events[i].events);
		}
		if (m->closing_stdin) stdin_close(m);
		finish_if_done(m);
		if (m->mode == RUN_FIFO && !m->out[0].open && !m->out[1].open) process_ended(m, 0);
	}
	unlink("monitor.sock");
	return 0;
}
