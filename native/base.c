#include "base.h"
#include <linux/openat2.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
	struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
	/* A rename anywhere on the way makes the kernel give up with EAGAIN: it is safe to ask again. */
	for (int i = 0; i < 64; i++) {
		int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
		if (fd >= 0) return fd;
		if (errno != EAGAIN && errno != EINTR) return -errno;
	}
	return -EAGAIN;
}

int write_all(int fd, const void *data, size_t size) {
	const char *p = data;
	while (size > 0) {
		ssize_t n = write(fd, p, size);
		if (n < 0 && errno == EINTR) continue;
		TRY(sys(n));
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int send_with_fd(int sock, const void *data, size_t size, int fd) {
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd >= 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof control.space;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	ssize_t n;
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	TRY(sys(n));
	return (size_t)n == size ? 0 : -EIO;
}

ssize_t recv_with_fd(int sock, void *data, size_t size, int *fd) {
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
	ssize_t n;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*fd = -1;
	TRY(sys(n));
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	return n;
}

/* A file that claims to be of /proc or of a cgroup must really be: a container may have mounted over it. */
int check_magic(int fd, uint32_t magic) {
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0) return -errno;
	return (uint32_t)fs.f_type == magic ? 0 : -EXDEV;
}

uint64_t monotonic_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int unix_address(const char *path, struct sockaddr_un *a) {
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof a->sun_path) return -ENAMETOOLONG;
	strcpy(a->sun_path, path);
	return 0;
}

int connect_unix(const char *path) {
	struct sockaddr_un a;
	TRY(unix_address(path, &a));
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	TRY(sys(sock));
	if (connect(sock, (struct sockaddr *)&a, sizeof a) == 0) return sock;
	int error = -errno;
	close(sock);
	return error;
}

/* Mode 0600 from the first moment: made under a temporary umask. */
int listen_unix(const char *path) {
	struct sockaddr_un a;
	TRY(unix_address(path, &a));
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	TRY(sys(sock));
	unlink(path);
	mode_t before = umask(0177);
	int r = (int)sys(bind(sock, (struct sockaddr *)&a, sizeof a));
	umask(before);
	if (r == 0 && (r = (int)sys(listen(sock, 64))) == 0) return sock;
	close(sock);
	return r;
}
