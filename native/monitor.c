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
#include <sys/epoll.h>
#include <linux/sockios.h>
#include <sys/signalfd.h>
#include <termios.h>

#define CHUNK 16384
#define CLIENT_LIMIT (256u << 10) /* output waiting for one client; more of it holds back the container's pipe … */
#define CLIENT_PATIENCE 3000 /* … for at most so many milliseconds without progress, unless it asked for more */
#define LINGER_PATIENCE 60000 /* what a client gets to read the rest after the exit */
#define SINK_PATIENCE 1000 /* what a FIFO's reader gets after the exit */
#define HOLD_PATIENCE 10000 /* what a client gets to attach after the exit, when output is held for it */
#define EARLY_LIMIT (256u << 10) /* what a foreign runtime may say before it cannot be held any more */
#define DRAIN_LIMIT (4u << 20) /* output read after the exit, should a left-over process write on and on */

enum run_mode { RUN_PLAN, RUN_RUNTIME, RUN_FIFO };
enum attach { ATTACH_STDIN = 1, ATTACH_STDOUT = 2, ATTACH_STDERR = 4, ATTACH_WAIT = 8 };

struct monitor;
struct source {
	int fd;
	uint32_t events; /* asked of epoll; 0: not registered */
	void (*ready)(struct monitor *m, struct source *s, uint32_t events);
};

/* Bytes waiting for a descriptor that would block. */
struct queue {
	char *bytes;
	size_t used, room;
};

struct client {
	struct source source;
	struct client *next;
	uint32_t wants; /* enum attach */
	bool lagged, blocked; /* blocked: its stdin waits for the container to read */
	uint64_t progress; /* when it last took something */
	int unread;
	size_t in_used, stdin_left; /* stdin_left: of the STDIN frame that is being passed on */
	char *in;
	struct queue out;
};

struct stream {
	struct source source; /* what the container writes */
	struct source sink; /* a FIFO of a foreign client; its fullness holds back the source */
	struct queue pending;
	struct queue early; /* what came while the foreign runtime worked: the container's only if that succeeds */
	struct line line;
	bool open;
};

struct monitor {
	enum run_mode mode;
	bool terminal, hold, exited, recorded, closing_stdin;
	int epoll, master;
	int rootfs; /* keeps the container's root mounted for us to end */
	struct source listener, signals, console_socket, foreign;
	struct source stdin_pipe; /* written by us */
	int stdin_keeper; /* our read end of a FIFO that we write, until its reader is there */
	struct source stdin_fifo; /* of a foreign client */
	struct stream out[2];
	struct client *clients;
	struct machine *machine;
	struct winsize size;
	pid_t pid, runtime;
	int pidfd;
	char **argv, **env;
	const char *pid_file, *console_path, *oom_path, *stdin_path, *rootfs_path;
	uint64_t oom_version, oom_before;
	int status;
	struct timespec exit_time;
	uint64_t exit_ms, sink_progress; /* monotonic */
	char error[512];
	char exit_record[1024];
	struct log log;
};

static void watch(struct monitor *m, struct source *s, uint32_t events) {
	if (s->fd < 0 || s->events == events) return;
	struct epoll_event e = {.events = events, .data.ptr = s};
	int op = s->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	if (epoll_ctl(m->epoll, op, s->fd, &e) == 0 || op == EPOLL_CTL_DEL) s->events = events;
}

static void source_close(struct monitor *m, struct source *s) {
	if (s->fd < 0) return;
	watch(m, s, 0);
	close(s->fd);
	s->fd = -1;
}

static int queue_add(struct queue *q, const void *data, size_t size) {
	if (q->used + size > q->room) {
		size_t room = (q->used + size + 16383) & ~(size_t)16383;
		char *bytes = realloc(q->bytes, room);
		if (!bytes) return -ENOMEM;
		q->bytes = bytes;
		q->room = room;
	}
	memcpy(q->bytes + q->used, data, size);
	q->used += size;
	return 0;
}

/* Writes what the descriptor takes; memory goes back as soon as nothing waits. */
static int queue_flush(struct queue *q, int fd) {
	size_t done = 0;
	int r = 0;
	while (done < q->used && r == 0) {
		ssize_t n = write(fd, q->bytes + done, q->used - done);
		if (n > 0) done += (size_t)n;
		else if (errno != EINTR) r = -errno;
	}
	if (q->used > done) memmove(q->bytes, q->bytes + done, q->used - done);
	q->used -= done;
	if (q->used == 0) {
		free(q->bytes);
		*q = (struct queue){0};
	}
	return r == -EAGAIN ? 0 : r;
}

/* ---- clients ---- */

static uint64_t now_ms(void) {
	return monotonic_ns() / 1000000;
}

/* Only marks: the memory goes when no event of this round can refer to it any more. */
static void client_drop(struct monitor *m, struct client *c) {
	source_close(m, &c->source);
	free(c->out.bytes);
	c->out = (struct queue){0};
	c->wants = 0;
}

static void clients_sweep(struct monitor *m) {
	for (struct client **p = &m->clients; *p;) {
		struct client *c = *p;
		if (c->source.fd >= 0) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		free(c->in);
		free(c);
	}
}

static void client_update(struct monitor *m, struct client *c) {
	/* A blocked client is not even asked whether it is still there: what it has sent is still to be passed on. */
	watch(m, &c->source, (c->blocked ? 0 : EPOLLIN | EPOLLRDHUP) | (c->out.used ? EPOLLOUT : 0));
}

static void client_send(struct monitor *m, struct client *c, uint8_t type, const void *payload, size_t size) {
	struct frame f = {.length = (uint32_t)size, .type = type};
	if (c->out.used == 0) c->progress = now_ms();
	if (c->source.fd < 0 || queue_add(&c->out, &f, sizeof f) < 0 || (size > 0 && queue_add(&c->out, payload, size) < 0) ||
	    queue_flush(&c->out, c->source.fd) < 0) {
		client_drop(m, c);
		return;
	}
	client_update(m, c);
}

static void client_ack(struct monitor *m, struct client *c, uint32_t id, int error) {
	int32_t answer[2] = {(int32_t)id, error < 0 ? -error : 0};
	client_send(m, c, FRAME_ACK, answer, sizeof answer);
}

/* ---- the container's output ---- */

/*
 * A client that reads, if slowly, gets everything: the container's pipe waits for it as it would in a shell. The exit
 * does not wait for one that may take for ever: what the pipes still hold is little.
 */
static bool held_back(const struct monitor *m) {
	for (const struct client *c = m->clients; c; c = c->next)
		if (c->out.used > CLIENT_LIMIT && !c->lagged && !(c->wants & ATTACH_WAIT && m->exited && !m->recorded)) return true;
	return false;
}

/* A client that neither reads nor asked to be waited for learns that the rest is missing. True while one may become it. */
static bool drop_laggards(struct monitor *m) {
	bool waiting = false;
	for (struct client *c = m->clients; c; c = c->next) {
		if (c->out.used <= CLIENT_LIMIT || c->lagged || c->wants & ATTACH_WAIT) continue;
		c->lagged = now_ms() - c->progress >= CLIENT_PATIENCE;
		if (c->lagged) client_send(m, c, FRAME_LAGGED, NULL, 0);
		else waiting = true;
	}
	return waiting;
}

static int stream_index(const struct monitor *m, const struct stream *s) {
	return (int)(s - m->out);
}

static void stream_pass(struct monitor *m, struct stream *s, const char *data, size_t n) {
	int index = stream_index(m, s);
	log_write(&m->log, (enum log_stream)index, &s->line, data, n);
	for (struct client *c = m->clients; c; c = c->next)
		if (!c->lagged && c->wants & (index == STREAM_STDOUT ? ATTACH_STDOUT : ATTACH_STDERR))
			client_send(m, c, index == STREAM_STDOUT ? FRAME_STDOUT : FRAME_STDERR, data, n);
	if (s->sink.fd >= 0 && (queue_add(&s->pending, data, n) < 0 || queue_flush(&s->pending, s->sink.fd) < 0))
		source_close(m, &s->sink);
	if (s->sink.fd < 0) s->pending.used = 0;
}

/* Passes on what was held, and ends the stream when nothing more can come. */
static void stream_settle(struct monitor *m, struct stream *s) {
	if (s->early.used > 0) stream_pass(m, s, s->early.bytes, s->early.used);
	free(s->early.bytes);
	s->early = (struct queue){0};
	if (s->open) return;
	log_finish(&m->log, (enum log_stream)stream_index(m, s), &s->line);
	if (s->pending.used == 0) source_close(m, &s->sink);
}

/* Reads one chunk and passes it on; false when there is nothing more for now. */
static bool stream_read(struct monitor *m, struct stream *s) {
	if (!s->open || s->pending.used > 0 || held_back(m)) return false;
	static char data[CHUNK];
	ssize_t n = read(s->source.fd, data, sizeof data);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
	if (n <= 0) { /* a pty whose slaves are closed says EIO */
		s->open = false;
		source_close(m, &s->source);
		if (m->runtime == 0) stream_settle(m, s);
		return false;
	}
	if (s->early.used >= EARLY_LIMIT) stream_settle(m, s);
	if (m->runtime == 0 || queue_add(&s->early, data, (size_t)n) < 0) stream_pass(m, s, data, (size_t)n);
	return true;
}

static void output_update(struct monitor *m) {
	bool held = m->hold || held_back(m);
	for (int i = 0; i < 2; i++) {
		struct stream *s = &m->out[i];
		if (s->open) watch(m, &s->source, s->pending.used > 0 || held ? 0 : EPOLLIN);
		watch(m, &s->sink, s->pending.used > 0 ? EPOLLOUT : 0);
	}
}

static void stream_ready(struct monitor *m, struct source *source, uint32_t events) {
	(void)events;
	stream_read(m, (struct stream *)((char *)source - offsetof(struct stream, source)));
}

static void sink_ready(struct monitor *m, struct source *source, uint32_t events) {
	(void)events;
	struct stream *s = (struct stream *)((char *)source - offsetof(struct stream, sink));
	m->sink_progress = now_ms();
	bool broken = queue_flush(&s->pending, source->fd) < 0;
	if (broken) s->pending.used = 0;
	if (broken || (s->pending.used == 0 && !s->open)) source_close(m, source);
}

static void stream_open(struct monitor *m, int index, int fd) {
	struct stream *s = &m->out[index];
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	s->source = (struct source){.fd = fd, .ready = stream_ready};
	s->open = true;
}

/* ---- the container's stdin ---- */

static void stdin_resume(struct monitor *m);

static void stdin_close(struct monitor *m) {
	if (m->terminal) return; /* a terminal has no end of file, only ^D */
	if (m->stdin_keeper >= 0) {
		/* What is in a FIFO that nobody has opened yet would be lost: it stays until its reader comes. */
		struct pollfd p = {.fd = m->stdin_pipe.fd};
		close(m->stdin_keeper);
		m->closing_stdin = poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
		m->stdin_keeper = m->closing_stdin ? open(m->stdin_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
		if (m->closing_stdin) return;
	}
	source_close(m, &m->stdin_pipe);
	source_close(m, &m->stdin_fifo);
	stdin_resume(m);
}

/* How much of the data was taken; what nobody can read any more counts as taken. */
static size_t stdin_write(struct monitor *m, const char *data, size_t size) {
	if (m->stdin_pipe.fd < 0) return size;
	ssize_t n = write(m->stdin_pipe.fd, data, size);
	if (n >= 0) return (size_t)n;
	if (errno == EAGAIN || errno == EINTR) return 0;
	if (!m->terminal) source_close(m, &m->stdin_pipe);
	return size;
}

static void stdin_fifo_ready(struct monitor *m, struct source *s, uint32_t events) {
	(void)events;
	/* Only as much is taken out of the FIFO as the container's pipe has room for. */
	struct pollfd p = {.fd = m->stdin_pipe.fd, .events = POLLOUT};
	if (m->stdin_pipe.fd >= 0 && poll(&p, 1, 0) == 0) {
		watch(m, s, 0);
		watch(m, &m->stdin_pipe, EPOLLOUT);
		return;
	}
	char data[4096]; /* PIPE_BUF: a writable pipe takes all of it */
	ssize_t n = read(s->fd, data, sizeof data);
	if (n > 0) stdin_write(m, data, (size_t)n);
	else if (n == 0 || errno != EAGAIN) stdin_close(m);
	if (n == 0) source_close(m, s);
}

/* ---- what clients ask for ---- */

static int set_size(struct monitor *m, uint32_t rows, uint32_t columns) {
	m->size = (struct winsize){.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
	if (m->master < 0) return m->terminal ? 0 : -ENOTTY;
	return (int)sys(ioctl(m->master, TIOCSWINSZ, &m->size));
}

static int kill_process(struct monitor *m, uint32_t signal) {
	if (m->pidfd < 0 || m->exited) return -ESRCH;
	return (int)sys(syscall(SYS_pidfd_send_signal, m->pidfd, (int)signal, NULL, 0));
}

static void client_request(struct monitor *m, struct client *c, uint8_t type, const char *payload, size_t size) {
	uint32_t v[3] = {0};
	memcpy(v, payload, size < sizeof v ? size : sizeof v);
	int r = 0;
	switch (type) {
	case FRAME_ATTACH:
		c->wants = v[1] & 15;
		m->hold = false;
		break;
	case FRAME_STDIN_CLOSE: stdin_close(m); break;
	case FRAME_RESIZE: r = set_size(m, v[1], v[2]); break;
	case FRAME_SIGNAL: r = kill_process(m, v[1]); break;
	case FRAME_REOPEN: r = m->log.path ? log_open(&m->log) : 0; break;
	default: client_drop(m, c);
	}
	client_ack(m, c, v[0], r);
}

/* Consumes what has arrived. Stdin is passed on as it comes; when the container does not read, so does the client wait. */
static void client_process(struct monitor *m, struct client *c) {
	size_t at = 0;
	c->blocked = false;
	while (c->source.fd >= 0 && !c->blocked) {
		size_t left = c->in_used - at;
		if (c->stdin_left > 0) {
			size_t n = left < c->stdin_left ? left : c->stdin_left;
			if (n == 0) break;
			size_t taken = c->wants & ATTACH_STDIN ? stdin_write(m, c->in + at, n) : n;
			at += taken;
			c->stdin_left -= taken;
			c->blocked = taken < n;
			continue;
		}
		struct frame f;
		if (left < sizeof f) break;
		memcpy(&f, c->in + at, sizeof f);
		if (f.type == FRAME_STDIN) {
			c->stdin_left = f.length;
			at += sizeof f;
		} else if (f.length > 64) {
			client_drop(m, c);
		} else if (left < sizeof f + f.length) {
			break;
		} else {
			char payload[64];
			memcpy(payload, c->in + at + sizeof f, f.length);
			at += sizeof f + f.length;
			client_request(m, c, f.type, payload, f.length);
		}
	}
	memmove(c->in, c->in + at, c->in_used - at);
	c->in_used -= at;
	if (c->source.fd < 0) return;
	if (c->blocked) watch(m, &m->stdin_pipe, EPOLLOUT);
	client_update(m, c);
}

static void client_ready(struct monitor *m, struct source *s, uint32_t events) {
	struct client *c = (struct client *)s;
	if (events & EPOLLOUT) {
		c->progress = now_ms();
		if (queue_flush(&c->out, s->fd) < 0 || (c->lagged && c->out.used == 0)) {
			client_drop(m, c);
			return;
		}
		client_update(m, c);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))) return;
	if (!c->in) c->in = malloc(CHUNK);
	ssize_t n = c->in && c->in_used < CHUNK ? read(s->fd, c->in + c->in_used, CHUNK - c->in_used) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	c->in_used += n > 0 ? (size_t)n : 0;
	if (n > 0) client_process(m, c);
	else client_drop(m, c); /* its end is not the end of the container's stdin: that is closed when asked for */
}

/* The container has read: the clients and the FIFO that waited for it go on. */
static void stdin_resume(struct monitor *m) {
	watch(m, &m->stdin_pipe, 0);
	for (struct client *c = m->clients; c; c = c->next)
		if (c->blocked) client_process(m, c);
	if (m->stdin_fifo.fd >= 0) watch(m, &m->stdin_fifo, EPOLLIN);
}

static void stdin_ready(struct monitor *m, struct source *s, uint32_t events) {
	(void)s;
	(void)events;
	stdin_resume(m);
}

static struct client *client_add(struct monitor *m, int fd) {
	struct client *c = calloc(1, sizeof *c);
	if (!c) {
		close(fd);
		return NULL;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	c->source = (struct source){.fd = fd, .ready = client_ready};
	c->next = m->clients;
	m->clients = c;
	client_update(m, c);
	return c;
}

static void client_hello(struct monitor *m, struct client *c) {
	uint32_t hello[4] = {FRAME_VERSION, (uint32_t)m->pid, (uint32_t)getpid(), m->terminal | (uint32_t)m->recorded << 2};
	client_send(m, c, FRAME_HELLO, hello, sizeof hello);
	if (m->recorded) client_send(m, c, FRAME_EXIT, m->exit_record, strlen(m->exit_record));
}

static void listener_ready(struct monitor *m, struct source *s, uint32_t events) {
	(void)events;
	struct ucred peer;
	socklen_t size = sizeof peer;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
		close(fd);
		return;
	}
	struct client *c = client_add(m, fd);
	if (c) client_hello(m, c);
}

/* ---- the end ---- */

/* Visible only complete: a temporary name, then a rename. Our working directory is the monitor's own. */
static void write_file(const char *name, const char *content) {
	auto_fd fd = open(".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && write_all(fd, content, strlen(content)) == 0) rename(".tmp", name);
}

/* OOM kills so far: oom_kill of memory.oom_control (cgroup v1) or memory.events (v2). */
static uint64_t oom_kills(const struct monitor *m) {
	char path[4200], text[1024];
	if (!m->oom_path) return 0;
	snprintf(path, sizeof path, "%s/%s", m->oom_path, m->oom_version == 1 ? "memory.oom_control" : "memory.events");
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0) return 0;
	text[n] = 0;
	const char *found = strstr(text, "oom_kill ");
	return found ? strtoull(found + 9, NULL, 10) : 0;
}

static void record_exit(struct monitor *m) {
	char time[40], signal[24] = "";
	time[format_time(time, &m->exit_time)] = 0;
	int code = WIFSIGNALED(m->status) ? 128 + WTERMSIG(m->status) : WEXITSTATUS(m->status);
	if (WIFSIGNALED(m->status)) snprintf(signal, sizeof signal, ",\"signal\":%d", WTERMSIG(m->status));
	for (char *p = m->error; *p; p++) /* so that it needs no escapes */
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 32) *p = *p == '"' ? '\'' : ' ';
	bool oom = oom_kills(m) > m->oom_before; /* of any process in the cgroup, as Docker has it */
	snprintf(m->exit_record, sizeof m->exit_record, "{\"exitCode\":%d%s,\"exitedAt\":\"%s\",\"oomKilled\":%s%s%s%s}", code,
		 signal, time, oom ? "true" : "false", *m->error ? ",\"error\":\"" : "", m->error, *m->error ? "\"" : "");
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
	int32_t ready = pid;
	for (struct client *c = m->clients; c; c = c->next) client_send(m, c, FRAME_READY, &ready, sizeof ready);
}

static void take_master(struct monitor *m, int master) {
	m->master = master;
	if (m->size.ws_row || m->size.ws_col) ioctl(master, TIOCSWINSZ, &m->size);
	stream_open(m, STREAM_STDOUT, master);
	m->stdin_pipe = (struct source){.fd = fcntl(master, F_DUPFD_CLOEXEC, 3), .ready = stdin_ready};
}

static void fail_runtime(struct monitor *m, const char *text) {
	while (stream_read(m, &m->out[1]) || stream_read(m, &m->out[0])) continue;
	struct queue *words = &m->out[STREAM_STDERR].early; /* no output of a container that never was */
	if (words->used == 0) queue_add(words, text, strlen(text));
	int n = words->used < sizeof m->error ? (int)words->used : (int)sizeof m->error - 1;
	const char *last = words->bytes + words->used - n;
	for (struct client *c = m->clients; c; c = c->next) client_send(m, c, FRAME_FAILED, last, (size_t)n);
	snprintf(m->error, sizeof m->error, "%.*s", n, last);
	words->used = m->out[STREAM_STDOUT].early.used = 0;
	m->hold = false;
	m->runtime = 0;
	process_ended(m, 0xff00);
}

static void foreign_ready(struct monitor *m, struct source *s, __attribute__((unused)) uint32_t events) {
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
static void signals_ready(struct monitor *m, struct source *s, __attribute__((unused)) uint32_t events) {
	struct signalfd_siginfo info;
	int status;
	if (read(s->fd, &info, sizeof info) < 0) return;
	if (m->runtime > 0 && waitpid(m->runtime, &status, WNOHANG) == m->runtime) runtime_ended(m, status);
	if (m->runtime > 0) return;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == m->pid) process_ended(m, status);
}

/* Pipes for what the container uses; child[] gets its ends, to be closed once it is started. */
static int make_stdio(struct monitor *m, bool want_stdin, int child[3]) {
	int pair[2];
	for (int i = 0; i < 3; i++) child[i] = -1;
	for (int i = 0; i < 3; i++) {
		bool pipe_wanted = i == 0 ? want_stdin && !m->terminal : !m->terminal || (m->mode == RUN_RUNTIME && i == 2);
		if (!pipe_wanted) {
			child[i] = open("/dev/null", i == 0 ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
		} else {
			TRY(sys(pipe2(pair, O_CLOEXEC)));
			child[i] = pair[i == 0 ? 0 : 1];
			if (i == 0) {
				m->stdin_pipe = (struct source){.fd = pair[1], .ready = stdin_ready};
				fcntl(pair[1], F_SETFL, O_NONBLOCK);
			} else {
				stream_open(m, i - 1, pair[0]);
			}
		}
		if (child[i] < 0) return -errno;
	}
	return 0;
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

/* FIFOs are opened for both directions, which never blocks: only the end of a stream that we write needs care. */
static int open_fifos(struct monitor *m, const struct op_monitor_fifos *o) {
	const struct arg *const outputs[] = {&o->output, &o->errors};
	bool reads = m->mode == RUN_FIFO; /* of what a foreign task writes; otherwise for a client that reads */
	for (int i = 0; i < 2; i++) {
		if (outputs[i]->n == 0) continue;
		int fd = open(outputs[i]->s, (reads ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
		TRY(sys(fd));
		if (reads) stream_open(m, i, fd);
		else m->out[i].sink = (struct source){.fd = fd, .ready = sink_ready};
	}
	if (o->input.n > 0) {
		int fd = open(o->input.s, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		TRY(sys(fd));
		if (reads) {
			m->stdin_path = o->input.s;
			m->stdin_keeper = fd;
			fd = open(o->input.s, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
			m->stdin_pipe = (struct source){.fd = fd, .ready = stdin_ready};
			TRY(sys(fd));
		} else {
			m->stdin_fifo = (struct source){.fd = fd, .ready = stdin_fifo_ready};
		}
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
			m->oom_path = oom->path.s;
			m->oom_version = oom->version.u;
			break;
		}
	}
	plan_free(&plan);
	if (r == 0 && m->mode != RUN_FIFO) r = make_stdio(m, want_stdin, child);
	TRY(r);
	m->oom_before = oom_kills(m);
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
	struct source *closed[] = {&m->listener, &m->console_socket, &m->stdin_pipe, &m->stdin_fifo,
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
		bool waiting = drop_laggards(m) || m->closing_stdin || (m->exited && !(m->recorded && (m->out[0].open || m->out[1].open)));
		output_update(m);
		int n = epoll_wait(m->epoll, events, 16, waiting ? 50 : -1);
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;
			if (s->fd >= 0) s->ready(m, s, events[i].events);
		}
		if (m->closing_stdin) stdin_close(m);
		finish_if_done(m);
		clients_sweep(m);
		if (m->mode == RUN_FIFO && !m->out[0].open && !m->out[1].open) process_ended(m, 0);
	}
	unlink("monitor.sock");
	return 0;
}
