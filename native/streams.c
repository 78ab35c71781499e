/*
 * What goes in and out of the container: its output to log, clients and FIFOs, what clients ask for, its stdin. Nothing
 * here waits: who is slow holds back the container's pipe, within limits.
 */
#include "monitor.h"

/* GCC 12 takes a queue of a client in the list for a lost one, through stdin_resume's recursion; LeakSanitizer watches. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"

#define CLIENT_LIMIT (256u << 10) /* output waiting for one client; more of it holds back the container's pipe … */
#define CLIENT_PATIENCE 3000 /* … for at most so many milliseconds without progress, unless it asked for more */
#define EARLY_LIMIT (256u << 10) /* what a foreign runtime may say before it cannot be held any more */

void watch(struct monitor *m, struct source *s, uint32_t events) {
	if (s->fd < 0 || s->events == events) return;
	struct epoll_event e = {.events = events, .data.ptr = s};
	int op = s->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	if (epoll_ctl(m->epoll, op, s->fd, &e) == 0 || op == EPOLL_CTL_DEL) s->events = events;
}

void source_close(struct monitor *m, struct source *s) {
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

void client_send(struct monitor *m, struct client *c, uint8_t type, const void *payload, size_t size) {
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
bool held_back(const struct monitor *m) {
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

static void stream_pass(struct monitor *m, struct stream *s, const char *data, size_t n) {
	int index = (int)(s - m->out);
	log_write(&m->log, (enum log_stream)index, &s->line, data, n);
	for (struct client *c = m->clients; c; c = c->next)
		if (!c->lagged && c->wants & (index == STREAM_STDOUT ? ATTACH_STDOUT : ATTACH_STDERR))
			client_send(m, c, index == STREAM_STDOUT ? FRAME_STDOUT : FRAME_STDERR, data, n);
	if (s->sink.fd >= 0 && (queue_add(&s->pending, data, n) < 0 || queue_flush(&s->pending, s->sink.fd) < 0))
		source_close(m, &s->sink);
	if (s->sink.fd < 0) s->pending.used = 0;
}

/* Passes on what was held, and ends the stream when nothing more can come. */
void stream_settle(struct monitor *m, struct stream *s) {
	if (s->early.used > 0) stream_pass(m, s, s->early.bytes, s->early.used);
	free(s->early.bytes);
	s->early = (struct queue){0};
	if (s->open) return;
	log_finish(&m->log, (enum log_stream)(s - m->out), &s->line);
	if (s->pending.used == 0) source_close(m, &s->sink);
}

/* Reads one chunk and passes it on; false when there is nothing more for now. */
bool stream_read(struct monitor *m, struct stream *s) {
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

bool streams_update(struct monitor *m) {
	clients_sweep(m);
	bool waiting = drop_laggards(m);
	bool held = m->hold || held_back(m);
	for (int i = 0; i < 2; i++) {
		struct stream *s = &m->out[i];
		if (s->open) watch(m, &s->source, s->pending.used > 0 || held ? 0 : EPOLLIN);
		watch(m, &s->sink, s->pending.used > 0 ? EPOLLOUT : 0);
	}
	return waiting;
}

static void stream_ready(struct monitor *m, struct source *source, uint32_t events) {
	stream_read(m, (struct stream *)((char *)source - offsetof(struct stream, source)));
}

static void sink_ready(struct monitor *m, struct source *source, uint32_t events) {
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

static void stdin_resume(struct monitor *m, struct source *s, uint32_t events);

void stdin_close(struct monitor *m) {
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
	stdin_resume(m, &m->stdin_pipe, 0);
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
	case FRAME_SIGNAL:
		r = m->exited || m->pidfd < 0 ? -ESRCH : (int)sys(syscall(SYS_pidfd_send_signal, m->pidfd, (int)v[1], NULL, 0));
		break;
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
static void stdin_resume(struct monitor *m, struct source *s, uint32_t events) {
	watch(m, &m->stdin_pipe, 0);
	for (struct client *c = m->clients; c; c = c->next)
		if (c->blocked) client_process(m, c);
	if (m->stdin_fifo.fd >= 0) watch(m, &m->stdin_fifo, EPOLLIN);
}

struct client *client_add(struct monitor *m, int fd) {
	struct client *c = calloc(1, sizeof *c);
	if (!c) {
		close(fd);
		return NULL;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	c->source = (struct source){.fd = fd, .ready = client_ready};
	c->next = m->clients;
	m->clients = c;
	client_update(m, c);
	return c;
}

void listener_ready(struct monitor *m, struct source *s, uint32_t events) {
	struct ucred peer;
	socklen_t size = sizeof peer;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
		close(fd);
		return;
	}
	struct client *c = client_add(m, fd);
	uint32_t hello[4] = {FRAME_VERSION, (uint32_t)m->pid, (uint32_t)getpid(), m->terminal | (uint32_t)m->recorded << 2};
	if (c) client_send(m, c, FRAME_HELLO, hello, sizeof hello);
	if (c && m->recorded) client_send(m, c, FRAME_EXIT, m->exit_record, strlen(m->exit_record));
}

/* ---- where they come from ---- */

void take_master(struct monitor *m, int master) {
	m->master = master;
	if (m->size.ws_row || m->size.ws_col) ioctl(master, TIOCSWINSZ, &m->size);
	stream_open(m, STREAM_STDOUT, master);
	m->stdin_pipe = (struct source){.fd = fcntl(master, F_DUPFD_CLOEXEC, 3), .ready = stdin_resume};
}

/* Pipes for what the container uses; child[] gets its ends, to be closed once it is started. */
int make_stdio(struct monitor *m, bool want_stdin, int child[3]) {
	int pair[2];
	for (int i = 0; i < 3; i++) {
		bool pipe_wanted = i == 0 ? want_stdin && !m->terminal : !m->terminal || (m->mode == RUN_RUNTIME && i == 2);
		if (!pipe_wanted) {
			child[i] = open("/dev/null", i == 0 ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
		} else {
			TRY(sys(pipe2(pair, O_CLOEXEC)));
			child[i] = pair[i == 0 ? 0 : 1];
			if (i == 0) {
				m->stdin_pipe = (struct source){.fd = pair[1], .ready = stdin_resume};
				fcntl(pair[1], F_SETFL, O_NONBLOCK);
			} else {
				stream_open(m, i - 1, pair[0]);
			}
		}
		if (child[i] < 0) return -errno;
	}
	return 0;
}

/* FIFOs are opened for both directions, which never blocks: only the end of a stream that we write needs care. */
int open_fifos(struct monitor *m, const struct op_monitor_fifos *o) {
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
			m->stdin_pipe = (struct source){.fd = fd, .ready = stdin_resume};
			TRY(sys(fd));
		} else {
			m->stdin_fifo = (struct source){.fd = fd, .ready = stdin_fifo_ready};
		}
	}
	return 0;
}
