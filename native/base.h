/*
 * What every file here shares. One error convention: a function returns >= 0, or -errno.
 * Resources are released by scope (auto_fd, auto_free), so that early returns leak nothing.
 */
#ifndef CORTEN_BASE_H
#define CORTEN_BASE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define auto_fd __attribute__((cleanup(close_scoped))) int
#define auto_free __attribute__((cleanup(free_scoped)))
#define FMT(a, b) __attribute__((format(printf, a, b)))

static inline void close_scoped(const int *fd) {
	if (*fd >= 0) close(*fd);
}

static inline void free_scoped(void *p) {
	free(*(void **)p);
}

/* The result of a call that sets errno, in our convention. */
static inline long sys(long result) {
	return result < 0 ? -errno : result;
}

/* Leaves the function with the error, if it is one. */
#define TRY(expression) do { long try_ = (expression); if (try_ < 0) return (int)try_; } while (0)

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int write_all(int fd, const void *data, size_t size);
/* Sends data with at most one descriptor (-1: none); receives the same, fd becomes -1 when none came. */
int send_with_fd(int sock, const void *data, size_t size, int fd);
ssize_t recv_with_fd(int sock, void *data, size_t size, int *fd);
int check_magic(int fd, uint32_t magic);
uint64_t monotonic_ns(void);
int connect_unix(const char *path);
int listen_unix(const char *path);

/* Frames of the control and client sockets; native/README.md describes them. */
#define FRAME_VERSION 1
enum frame_type {
	FRAME_HELLO = 1, FRAME_READY, FRAME_FAILED, FRAME_SYNC, FRAME_STDOUT, FRAME_STDERR, FRAME_EXIT, FRAME_ACK,
	FRAME_LAGGED, FRAME_OOM,
	FRAME_ATTACH = 16, FRAME_STDIN, FRAME_STDIN_CLOSE, FRAME_RESIZE, FRAME_SIGNAL, FRAME_REOPEN, FRAME_SYNC_DONE,
};
struct frame {
	uint32_t length; /* of the payload */
	uint8_t type;
	uint8_t pad[3];
};

int init_main(int argc, char **argv);
int monitor_main(int argc, char **argv);
#endif
