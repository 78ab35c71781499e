/*
 * Log files. Docker's json-file: {"log":"text\n","stream":"stdout","time":"…"}, where a split line's parts have
 * no newline but the last; CRI: `time stream P|F text`; raw: the bytes. Rotation counts and names as Docker's.
 */
#include "monitor.h"

static void flush(struct log *log) {
	/* A full disk loses output, never the container; what was half written is taken back. */
	if (log->used > 0 && log->fd >= 0 && write_all(log->fd, log->buffer, log->used) < 0) {
		if (ftruncate(log->fd, (off_t)log->size) < 0) log->used = 0;
	} else {
		log->size += log->used;
	}
	log->used = 0;
}

static void put(struct log *log, const char *data, size_t size) {
	while (size > 0) {
		size_t room = sizeof log->buffer - log->used, n = size < room ? size : room;
		memcpy(log->buffer + log->used, data, n);
		log->used += n;
		data += n;
		size -= n;
		if (log->used == sizeof log->buffer) flush(log);
	}
}

int log_open(struct log *log) {
	struct stat st;
	flush(log);
	int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, log->format == LOG_JSON_FILE ? 0640 : 0600);
	if (fd < 0) return -errno;
	if (log->fd >= 0) close(log->fd);
	log->fd = fd;
	log->size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

/* path → path.1 → path.2 …; with one file only, it starts again. */
static void rotate(struct log *log) {
	flush(log);
	if (log->max_files < 2) {
		if (ftruncate(log->fd, 0) == 0) log->size = 0;
		return;
	}
	for (uint32_t i = log->max_files - 1; i > 0; i--) {
		char from[4128], to[4128];
		snprintf(to, sizeof to, "%s.%u", log->path, i);
		snprintf(from, sizeof from, i > 1 ? "%s.%u" : "%s", log->path, i - 1);
		rename(from, to);
	}
	log_open(log);
}

size_t format_time(char *out, const struct timespec *time) {
	struct tm tm;
	gmtime_r(&time->tv_sec, &tm);
	size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	if (time->tv_nsec > 0) {
		n += (size_t)snprintf(out + n, 12, ".%09u", (unsigned)time->tv_nsec % 1000000000u);
		while (out[n - 1] == '0') n--;
	}
	out[n++] = 'Z';
	return n;
}

/* Length of the valid UTF-8 sequence at p, or 0 (overlong, surrogate, too large, cut off). */
static size_t utf8_length(const unsigned char *p, size_t left) {
	size_t n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	if (n == 0 || left < n) return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80) return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* The content of a JSON string as Docker's json-file driver escapes it. */
static void put_json(struct log *log, const char *data, size_t size) {
	const unsigned char *p = (const unsigned char *)data;
	size_t start = 0, i = 0;
	while (i < size) {
		char escape[8];
		size_t length = 1;
		int n = 0;
		if (p[i] >= 0x80) {
			length = utf8_length(p + i, size - i);
			if (length == 0) n = snprintf(escape, sizeof escape, "\\ufffd");
			else if (length == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 && (p[i + 2] | 1) == 0xa9)
				n = snprintf(escape, sizeof escape, "\\u202%x", p[i + 2] & 0xfu);
			if (length == 0) length = 1;
		} else if (p[i] == '"' || p[i] == '\\') {
			n = snprintf(escape, sizeof escape, "\\%c", p[i]);
		} else if (p[i] == '\n' || p[i] == '\r') {
			n = snprintf(escape, sizeof escape, "\\%c", p[i] == '\n' ? 'n' : 'r');
		} else if (p[i] < 0x20 || p[i] == '<' || p[i] == '>' || p[i] == '&') {
			n = snprintf(escape, sizeof escape, "\\u%04x", p[i]);
		}
		if (n > 0) {
			put(log, data + start, i - start);
			put(log, escape, (size_t)n);
			start = i + length;
		}
		i += length;
	}
	put(log, data + start, size - start);
}

static void put_entry(struct log *log, enum log_stream stream, const struct timespec *time, const char *data,
		      size_t size, bool newline) {
	char stamp[40];
	if (log->max_size > 0 && log->size + log->used >= log->max_size) rotate(log);
	size_t n = format_time(stamp, time);
	if (log->format == LOG_CRI) {
		put(log, stamp, n);
		put(log, stream == STREAM_STDOUT ? " stdout " : " stderr ", 8);
		put(log, newline ? "F " : "P ", 2); /* What ends without a newline is a part to the end. */
		put(log, data, size);
		put(log, "\n", 1);
		return;
	}
	if (size == 0 && !newline) return;
	put(log, "{\"log\":\"", 8);
	put_json(log, data, size);
	if (newline) put(log, "\\n", 2);
	put(log, "\",\"stream\":\"", 12);
	put(log, stream == STREAM_STDOUT ? "stdout" : "stderr", 6);
	put(log, "\",\"time\":\"", 10);
	put(log, stamp, n);
	put(log, "\"}\n", 3);
}

/* Ends the entry that is in `line` (with `data` behind it); newline tells whether the output's line ended. */
static void end_entry(struct log *log, enum log_stream stream, struct line *line, const char *data, size_t size,
		      bool newline, bool last) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (!line->partial) line->time = now;
	put_entry(log, stream, &line->time, data, size, newline);
	line->partial = !newline && !last;
	line->used = 0;
}

void log_write(struct log *log, enum log_stream stream, struct line *line, const char *data, size_t size) {
	if (!log->path) return;
	if (log->format == LOG_RAW) {
		if (log->max_size > 0 && log->size >= log->max_size) rotate(log);
		put(log, data, size);
		flush(log);
		return;
	}
	while (size > 0) {
		const char *newline = memchr(data, '\n', size);
		size_t n = newline ? (size_t)(newline - data) : size;
		if (line->used == 0 && newline && n < LINE_BYTES) {
			end_entry(log, stream, line, data, n, true, true);
			data += n + 1;
			size -= n + 1;
			continue;
		}
		size_t take = n < LINE_BYTES - line->used ? n : LINE_BYTES - line->used;
		memcpy(line->bytes + line->used, data, take);
		line->used += take;
		data += take;
		size -= take;
		/* Docker splits a line of just this length, containerd waits for what comes after it. */
		if (line->used == LINE_BYTES && (log->format != LOG_CRI || (size > 0 && *data != '\n'))) {
			end_entry(log, stream, line, line->bytes, line->used, false, false);
		} else if (newline) {
			end_entry(log, stream, line, line->bytes, line->used, true, true);
			data++;
			size--;
		}
	}
	flush(log);
}

void log_finish(struct log *log, enum log_stream stream, struct line *line) {
	if (!log->path || log->format == LOG_RAW || line->used == 0) return;
	end_entry(log, stream, line, line->bytes, line->used, false, true);
	flush(log);
}
