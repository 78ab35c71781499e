/*
 * Channels: many streams of bytes over one, the same code on both sides of a machine's wall.
 *
 * A frame is channel (u32), length (u32), type (u8), three zero bytes, payload. Only the host opens channels. Each
 * direction of each has a window: what the other side may send before our reader has taken some of it. So one that does not
 * read holds up nobody else, and nobody has to keep more than a window for it. What breaks these rules ends the stream.
 */
#include "agent.h"

#define WINDOW 65536u
#define CHANNELS 256
#define ROOM (1u << 20)

enum { MUX_OPEN = 1, MUX_DATA, MUX_WINDOW, MUX_END, MUX_CLOSE };

struct mux_frame {
	uint32_t channel, length;
	uint8_t type, pad[3];
};

struct channel {
	int fd;
	pid_t pid; /* in the guest: who serves it */
	uint32_t number, credit; /* credit: what the other side still takes */
	uint32_t start, used; /* of the ring: received, and not yet taken by our reader */
	bool ended, finished; /* ended: nothing more comes; finished: nothing more goes */
	char ring[WINDOW];
};

struct mux {
	int stream;
	uint32_t next;
	const struct mux_guest *guest;
	struct channel *channels[CHANNELS];
	size_t out_start, out_used, in_used;
	char out[ROOM];
	char in[sizeof(struct mux_frame) + WINDOW];
};

/* The callers stop reading long before there is no room; only windows' own small frames go beyond that. */
static int put(struct mux *m, uint32_t channel, uint8_t type, const void *payload, uint32_t length) {
	struct mux_frame f = {.channel = channel, .length = length, .type = type};
	if (m->out_start + m->out_used + sizeof f + length > ROOM) {
		memmove(m->out, m->out + m->out_start, m->out_used);
		m->out_start = 0;
	}
	if (m->out_used + sizeof f + length > ROOM) return -ENOBUFS;
	char *at = m->out + m->out_start + m->out_used;
	memcpy(at, &f, sizeof f);
	if (length > 0) memcpy(at + sizeof f, payload, length);
	m->out_used += sizeof f + length;
	return 0;
}

static struct channel **find(struct mux *m, uint32_t number) {
	for (size_t i = 0; i < CHANNELS; i++)
		if (m->channels[i] && m->channels[i]->number == number) return &m->channels[i];
	return NULL;
}

static int add(struct mux *m, uint32_t number, int fd, pid_t pid) {
	for (size_t i = 0; i < CHANNELS; i++) {
		if (m->channels[i]) continue;
		struct channel *c = calloc(1, sizeof *c);
		if (!c) return -ENOMEM;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		*c = (struct channel){.fd = fd, .pid = pid, .number = number, .credit = WINDOW};
		m->channels[i] = c;
		return 0;
	}
	return -EMFILE;
}

static void drop(struct channel **slot) {
	close((*slot)->fd);
	free(*slot);
	*slot = NULL;
}

/* Gives our reader what came; each byte taken is one that the other side may send again. */
static int deliver(struct mux *m, struct channel **slot) {
	struct channel *c = *slot;
	while (c->used > 0) {
		uint32_t part = c->start + c->used > WINDOW ? WINDOW - c->start : c->used;
		ssize_t n = send(c->fd, c->ring + c->start, part, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
		if (n <= 0) {
			uint32_t number = c->number;
			drop(slot);
			return put(m, number, MUX_CLOSE, NULL, 0);
		}
		uint32_t taken = (uint32_t)n;
		c->start = (c->start + taken) % WINDOW;
		c->used -= taken;
		TRY(put(m, c->number, MUX_WINDOW, &taken, sizeof taken));
	}
	if (c->ended) {
		shutdown(c->fd, SHUT_WR);
		if (c->finished) drop(slot);
	}
	return 0;
}

static int take(struct mux *m, struct channel **slot) {
	struct channel *c = *slot;
	char bytes[16384];
	uint32_t most = c->credit < sizeof bytes ? c->credit : (uint32_t)sizeof bytes;
	if (most == 0 || c->finished) return 0;
	ssize_t n = recv(c->fd, bytes, most, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
	if (n > 0) {
		c->credit -= (uint32_t)n;
		return put(m, c->number, MUX_DATA, bytes, (uint32_t)n);
	}
	c->finished = true;
	int r = put(m, c->number, n == 0 ? MUX_END : MUX_CLOSE, NULL, 0);
	if (n < 0 || (c->ended && c->used == 0)) drop(slot);
	return r;
}

static int received(struct mux *m, const struct mux_frame *f, const char *payload) {
	struct channel **slot = find(m, f->channel), *c = slot ? *slot : NULL;
	uint32_t amount;
	if (f->type == MUX_OPEN) {
		int pair[2];
		if (!m->guest || c || f->length != 0) return -EPROTO;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return put(m, f->channel, MUX_CLOSE, NULL, 0);
		pid_t pid = m->guest->opened(pair[1]);
		close(pair[1]);
		if (pid > 0 && add(m, f->channel, pair[0], pid) == 0) return 0;
		close(pair[0]);
		return put(m, f->channel, MUX_CLOSE, NULL, 0);
	}
	if (f->type < MUX_DATA || f->type > MUX_CLOSE) return -EPROTO;
	if (!c) return 0; /* closed meanwhile */
	if (m->guest && f->type >= MUX_END) m->guest->left(c->pid);
	switch (f->type) {
	case MUX_DATA:
		if (c->ended || f->length > WINDOW - c->used) return -EPROTO;
		for (uint32_t i = 0; i < f->length; i++) c->ring[(c->start + c->used + i) % WINDOW] = payload[i];
		c->used += f->length;
		return deliver(m, slot);
	case MUX_WINDOW:
		if (f->length != sizeof amount) return -EPROTO;
		memcpy(&amount, payload, sizeof amount);
		if (amount > WINDOW - c->credit) return -EPROTO;
		c->credit += amount;
		return 0;
	case MUX_END:
		if (f->length != 0) return -EPROTO;
		c->ended = true;
		return deliver(m, slot);
	default:
		drop(slot);
		return 0;
	}
}

/* Takes what the stream has and handles every whole frame. */
static int stream_in(struct mux *m) {
	ssize_t n = read(m->stream, m->in + m->in_used, sizeof m->in - m->in_used);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
	if (n <= 0) return n < 0 ? -errno : -EPIPE;
	m->in_used += (size_t)n;
	size_t at = 0;
	struct mux_frame f;
	while (m->in_used - at >= sizeof f) {
		memcpy(&f, m->in + at, sizeof f);
		if (f.length > WINDOW) return -EPROTO;
		if (m->in_used - at < sizeof f + f.length) break;
		TRY(received(m, &f, m->in + at + sizeof f));
		at += sizeof f + f.length;
	}
	memmove(m->in, m->in + at, m->in_used - at);
	m->in_used -= at;
	return 0;
}

static int stream_out(struct mux *m) {
	while (m->out_used > 0) {
		ssize_t n = write(m->stream, m->out + m->out_start, m->out_used);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
		if (n <= 0) return n < 0 ? -errno : -EPIPE;
		m->out_start += (size_t)n;
		m->out_used -= (size_t)n;
	}
	m->out_start = 0;
	return 0;
}

static int accept_channel(struct mux *m, int listener) {
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) return 0;
	uint32_t number = m->next++;
	if (add(m, number, fd, 0) == 0) return put(m, number, MUX_OPEN, NULL, 0);
	close(fd);
	return 0;
}

int mux_run(int stream, int listener, const struct mux_guest *guest) {
	static struct mux m;
	m.stream = stream;
	m.guest = guest;
	m.next = 1;
	fcntl(stream, F_SETFL, fcntl(stream, F_GETFL) | O_NONBLOCK);
	for (;;) {
		struct pollfd polled[CHANNELS + 2];
		struct channel **slots[CHANNELS + 2];
		nfds_t count = 0;
		/* Half of the room is for what is in the windows already and for windows' own frames. */
		bool room = m.out_used < ROOM / 2;
		polled[count++] = (struct pollfd){.fd = stream, .events = (short)((room ? POLLIN : 0) | (m.out_used > 0 ? POLLOUT : 0))};
		polled[count++] = (struct pollfd){.fd = room ? listener : -1, .events = POLLIN};
		for (size_t i = 0; i < CHANNELS; i++) {
			const struct channel *c = m.channels[i];
			if (!c) continue;
			short events = (short)((room && c->credit > 0 && !c->finished ? POLLIN : 0) | (c->used > 0 ? POLLOUT : 0));
			slots[count] = &m.channels[i];
			polled[count++] = (struct pollfd){.fd = events ? c->fd : -1, .events = events};
		}
		if (poll(polled, count, -1) < 0 && errno != EINTR) return -errno;
		if (polled[0].revents & (POLLIN | POLLHUP | POLLERR) && room) TRY(stream_in(&m));
		if (polled[1].revents & POLLIN) TRY(accept_channel(&m, listener));
		for (nfds_t i = 2; i < count; i++) {
			if (polled[i].revents & (POLLOUT | POLLERR) && *slots[i]) TRY(deliver(&m, slots[i]));
			if (polled[i].revents & (POLLIN | POLLHUP) && *slots[i]) TRY(take(&m, slots[i]));
		}
		TRY(stream_out(&m));
	}
}
