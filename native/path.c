/*
 * Paths inside the rootfs. A string is never joined to the rootfs' path: the kernel resolves it below the
 * rootfs descriptor (RESOLVE_IN_ROOT), so that no symlink, ".." or rename can lead outside. Missing parts are
 * made one by one, each below a descriptor resolved in the same way. (CVE-2019-16884, CVE-2021-30465, CVE-2024-45310)
 */
#include "plan.h"
#include <linux/openat2.h>

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static int root_fd(const struct machine *m, const struct arg *root) {
	int fd = slot_fd(m, root);
	return root->u != NONE && fd < 0 ? -EBADF : fd;
}

int root_open(const struct machine *m, const struct arg *root, const char *path, uint64_t flags) {
	int dir = root_fd(m, root);
	if (root->u == NONE) return (int)sys(open(path, (int)flags | O_CLOEXEC));
	return dir < 0 ? dir : sys_openat2(dir, path, flags, 0, IN_ROOT);
}

/* Makes one missing entry; someone else having made it meanwhile is fine, the caller looks again. */
static int create_entry(int parent, const char *name, bool file, mode_t mode) {
	int r;
	if (file) {
		r = (int)sys(openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, mode));
		if (r >= 0) close(r);
	} else {
		r = (int)sys(mkdirat(parent, name, mode));
	}
	return r == -EEXIST ? 0 : r < 0 ? r : 0;
}

/* One component of `rest`, or NULL at its end. */
static const char *next_component(char **rest) {
	char *p = *rest;
	while (*p == '/') p++;
	if (!*p) return NULL;
	char *end = strchrnul(p, '/');
	*rest = *end ? end + 1 : end;
	*end = 0;
	return p;
}

/*
 * Walks `path` as the kernel would below root, making what is missing. Symlinks are followed by hand because a
 * dangling one must lead to a directory that is made where it points: inside the root, like everything here.
 */
static int walk_create(int root, const char *path, enum create_kind kind, mode_t mode) {
	char done[PATH_MAX] = ".", buffer[2][PATH_MAX];
	char *rest = buffer[0];
	int links = 0, current = 0;
	if (strlen(path) >= PATH_MAX) return -ENAMETOOLONG;
	strcpy(rest, path);
	for (const char *name; (name = next_component(&rest));) {
		if (strcmp(name, ".") == 0) continue;
		size_t length = strlen(done);
		if (strcmp(name, "..") == 0) {
			char *slash = strrchr(done, '/');
			if (slash) *slash = 0;
			continue;
		}
		if (length + strlen(name) + 2 > sizeof done) return -ENAMETOOLONG;
		auto_fd parent = sys_openat2(root, done, O_PATH | O_DIRECTORY, 0, IN_ROOT);
		TRY(parent);
		auto_fd entry = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (entry < 0 && errno != ENOENT) return -errno;
		if (entry < 0) {
			bool last = rest[strspn(rest, "/")] == 0;
			TRY(create_entry(parent, name, last && kind == CREATE_FILE, last ? mode : 0755));
		}
		struct stat st = {0};
		if (entry >= 0 && fstat(entry, &st) < 0) return -errno;
		if (entry >= 0 && S_ISLNK(st.st_mode)) {
			char target[PATH_MAX];
			ssize_t n = readlinkat(entry, "", target, sizeof target - 1);
			if (n < 0 || ++links > 40) return n < 0 ? -errno : -ELOOP;
			target[n] = 0;
			char *other = buffer[current ^= 1];
			if (snprintf(other, PATH_MAX, "%s/%s", target, rest) >= PATH_MAX) return -ENAMETOOLONG;
			if (target[0] == '/') strcpy(done, ".");
			rest = other;
			continue;
		}
		done[length] = '/';
		strcpy(done + length + 1, name);
	}
	return sys_openat2(root, done, O_PATH | O_NOFOLLOW, 0, IN_ROOT);
}

int root_create(const struct machine *m, const struct arg *root, const char *path, enum create_kind kind, mode_t mode) {
	int fd = root_open(m, root, path, O_PATH);
	if (fd != -ENOENT || root->u == NONE || kind == CREATE_NOTHING) return fd;
	return walk_create(root_fd(m, root), path, kind, mode);
}

int root_parent(const struct machine *m, const struct arg *root, const char *path, const char **base) {
	const char *slash = strrchr(path, '/');
	*base = slash ? slash + 1 : path;
	if (!**base || strcmp(*base, ".") == 0 || strcmp(*base, "..") == 0) return -EINVAL;
	auto_free char *head = strndup(path, slash ? (size_t)(slash - path) : 0);
	if (!head) return -ENOMEM;
	return root_create(m, root, *head ? head : "/", CREATE_DIRECTORY, 0755);
}

/*
 * Writes below the host's procfs, which was checked when it was opened; neither a mount on the way nor a
 * magic link is crossed, and the file must be of procfs itself. (CVE-2019-19921, CVE-2025-52881)
 */
int proc_write(struct machine *m, const char *path, const char *data, size_t size) {
	auto_fd fd = sys_openat2(m->proc, path, O_WRONLY | O_NOFOLLOW, 0,
				 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	TRY(fd);
	int r = check_magic(fd, PROC_SUPER_MAGIC);
	if (r < 0) return fail(m, r, "/proc/%s is not of procfs", path);
	/* One write: the kernel takes maps and sysctls only whole. */
	ssize_t n = write(fd, data, size);
	return n < 0 ? -errno : (size_t)n == size ? 0 : -EIO;
}
