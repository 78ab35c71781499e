/* The log file: one entry per line of output, in the format that its readers know. */
#ifndef CORTEN_MONITOR_H
#define CORTEN_MONITOR_H
#include "plan.h"
#include <sys/epoll.h>
#include <termios.h>
#include <time.h>

enum log_format { LOG_JSON_FILE, LOG_CRI, LOG_RAW };
enum log_stream { STREAM_STDOUT, STREAM_STDERR };

#define LINE_BYTES 16384 /* longer lines are split, as by Docker and containerd */

struct log {
	const char *path; /* NULL: no log */
	enum log_format format;
	uint64_t max_size, size;
	uint32_t max_files;
	int fd;
	size_t used;
	char buffer[32768]; /* entries on their way to the file */
};

/* What a stream has not ended with a newline yet. */
struct line {
	size_t used;
	bool partial; /* the beginning of this line is logged already */
	struct timespec time; /* of that beginning */
	char bytes[LINE_BYTES];
};

int log_open(struct log *log);
/* Takes a chunk of output; entries are written before it returns. */
void log_write(struct log *log, enum log_stream stream, struct line *line, const char *data, size_t size);
/* The stream has ended: logs the rest that has no newline. */
void log_finish(struct log *log, enum log_stream stream, struct line *line);
/* RFC3339Nano in UTC as Go writes it: no zeros at the end of the fraction. Returns its length (at most 35). */
size_t format_time(char *out, const struct timespec *time);

/* init.c */
int plan_load(struct machine *m, int result_fd, int plan_fd, int first);
int frame_send(int sock, uint8_t type, const void *payload, uint32_t length);
int on_sync(struct machine *m, uint32_t id);

/* ---- what monitor.c and streams.c share ---- */

#define CHUNK 16384

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
	bool terminal, hold, exited, recorded, closing_stdin, oom;
	int epoll, master;
	int rootfs; /* keeps the container's root mounted for us to end */
	struct source listener, signals, console_socket, foreign, above;
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
	const char *pid_file, *console_path, *oom_path, *above_path, *stdin_path, *rootfs_path;
	uint64_t oom_ms;
	int64_t oom_own, oom_above;
	int status;
	struct timespec exit_time;
	uint64_t exit_ms, sink_progress; /* monotonic */
	char error[512];
	char exit_record[1024];
	struct log log;
};

/* Milliseconds of a clock that only goes forward. */
/* ---- clients ---- */

static inline uint64_t now_ms(void) {
	return monotonic_ns() / 1000000;
}

/* streams.c */
void watch(struct monitor *m, struct source *s, uint32_t events);
void source_close(struct monitor *m, struct source *s);
void client_send(struct monitor *m, struct client *c, uint8_t type, const void *payload, size_t size);
struct client *client_add(struct monitor *m, int fd);
bool held_back(const struct monitor *m);
bool stream_read(struct monitor *m, struct stream *s);
void stream_settle(struct monitor *m, struct stream *s);
void stdin_close(struct monitor *m);
void listener_ready(struct monitor *m, struct source *s, uint32_t events);
int open_fifos(struct monitor *m, const struct op_monitor_fifos *o);
int make_stdio(struct monitor *m, bool want_stdin, int child[3]);
void take_master(struct monitor *m, int master);
/* Sets what is waited for; true while time matters to one of the clients. */
bool streams_update(struct monitor *m);
#endif
