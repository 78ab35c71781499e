/* The log file: one entry per line of output, in the format that its readers know. */
#ifndef CORTEN_MONITOR_H
#define CORTEN_MONITOR_H
#include "plan.h"
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
#endif
