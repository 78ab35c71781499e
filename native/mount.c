/*
 * Mounts, with the new mount API: everything is made detached, gets its attributes, and appears at its place in
 * one step, on a descriptor that was resolved inside the rootfs. Where the kernel lacks the calls (or the plan
 * forces it, for tests) the classic mount(2) does the same through /proc/self/fd.
 */
#include "plan.h"
#include <ctype.h>
#include <linux/mount.h>
#include <linux/openat2.h>

/* sys/mount.h cannot be included next to linux/mount.h in every libc. */
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#define DETACH 2 /* MNT_DETACH */
#define TREE_RECURSIVE 0x8000u /* AT_RECURSIVE */

static int open_tree(int dir, const char *path, unsigned flags) {
	return (int)sys(syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC));
}

static int attach(int tree, int target) {
	return (int)sys(syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static int set_attributes(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int userns, bool recursive) {
	if ((set | clear) & MOUNT_ATTR__ATIME)
		clear |= MOUNT_ATTR__ATIME; /* one of several: the kernel wants the old one named */
	struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	if (userns >= 0) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)userns;
	}
	if (!attr.attr_set && !clear && !propagation) return 0;
	return (int)sys(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? TREE_RECURSIVE : 0), &attr,
				sizeof attr));
}

struct fd_path {
	char s[32];
};

static struct fd_path fd_path(int fd) {
	struct fd_path p;
	snprintf(p.s, sizeof p.s, "/proc/self/fd/%d", fd);
	return p;
}

static unsigned long classic_flags(uint64_t attributes) {
	static const struct {
		uint64_t attribute;
		unsigned long flag;
	} map[] = {{MOUNT_ATTR_RDONLY, MS_RDONLY}, {MOUNT_ATTR_NOSUID, MS_NOSUID}, {MOUNT_ATTR_NODEV, MS_NODEV},
		   {MOUNT_ATTR_NOEXEC, MS_NOEXEC}, {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME},
		   {MOUNT_ATTR_NOATIME, MS_NOATIME}, {MOUNT_ATTR_STRICTATIME, MS_STRICTATIME}};
	unsigned long flags = 0;
	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (attributes & map[i].attribute) flags |= map[i].flag;
	return flags;
}

/* mount(2) with all options in one string; the few that are flags there are taken out of it. */
static int classic_mount(const struct op_mount *o, int target) {
	static const struct {
		const char *name;
		unsigned long flag;
	} words[] = {{"ro", MS_RDONLY}, {"sync", MS_SYNCHRONOUS}, {"dirsync", MS_DIRSYNC}, {"lazytime", MS_LAZYTIME},
		     {"silent", MS_SILENT}, {"mand", MS_MANDLOCK}};
	auto_free char **options = arg_vector(&o->options);
	size_t room = 1;
	unsigned long flags = classic_flags(o->attributes.u);
	for (char **p = options; p && *p; p++) room += strlen(*p) + 1;
	auto_free char *data = calloc(1, room);
	if (!options || !data) return -ENOMEM;
	for (char **p = options; *p; p++) {
		bool word = false;
		for (size_t i = 0; i < sizeof words / sizeof *words && !word; i++)
			if ((word = strcmp(*p, words[i].name) == 0)) flags |= words[i].flag;
		if (word) continue;
		if (*data) strcat(data, ",");
		strcat(data, *p);
	}
	const char *source = o->source.n ? o->source.s : o->fstype.s;
	return (int)sys(mount(source, fd_path(target).s, o->fstype.s, flags, data));
}

/* The filesystem's own words about a refusal, which errno cannot carry: `e overlay: missing 'lowerdir'`. */
static int filesystem_error(struct machine *m, int fs, int error) {
	char text[256];
	ssize_t n = read(fs, text, sizeof text - 1);
	if (n <= 2) return error;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return fail(m, error, "%s", isalpha((unsigned char)text[0]) && text[1] == ' ' ? text + 2 : text);
}

static int configure(int fs, unsigned command, const char *key, const char *value) {
	return (int)sys(syscall(SYS_fsconfig, fs, command, key, value, 0));
}

/* A new detached mount of a filesystem, or -ENOSYS. */
static int make_filesystem(struct machine *m, const struct op_mount *o) {
	auto_fd fs = (int)sys(syscall(SYS_fsopen, o->fstype.s, FSOPEN_CLOEXEC));
	TRY(fs);
	int r = configure(fs, FSCONFIG_SET_STRING, "source", o->source.n ? o->source.s : o->fstype.s);
	auto_free char **options = arg_vector(&o->options);
	if (!options) return -ENOMEM;
	for (char **p = options; r == 0 && *p; p++) {
		char key[64];
		if (strcmp(*p, "silent") == 0 || strcmp(*p, "mand") == 0) continue; /* of mount(2) only */
		const char *equals = strchr(*p, '=');
		size_t n = equals ? (size_t)(equals - *p) : strlen(*p);
		if (n >= sizeof key) return -EINVAL;
		memcpy(key, *p, n);
		key[n] = 0;
		r = configure(fs, equals ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, equals ? equals + 1 : NULL);
		if (r < 0) fail(m, r, "option %s", *p);
	}
	if (r == 0) r = configure(fs, FSCONFIG_CMD_CREATE, NULL, NULL);
	if (r == 0) r = (int)sys(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)o->attributes.u));
	return r < 0 ? filesystem_error(m, fs, r) : r;
}

/* fsconfig takes values of up to 255 bytes; mount(2) a page of options. */
static bool has_long_option(const struct op_mount *o) {
	auto_free char **options = arg_vector(&o->options);
	for (char **p = options; p && *p; p++)
		if (strlen(*p) > 200) return true;
	return o->source.n > 200;
}

static int op_mount(struct machine *m, const struct op_mount *o) {
	auto_fd target = -1;
	if (o->strict.u && o->root.u != NONE) {
		target = sys_openat2(slot_fd(m, &o->root), o->path.s, O_PATH | O_DIRECTORY, 0,
				     RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
		if (target == -ELOOP || target == -ENOTDIR)
			return fail(m, target, "filesystem \"%s\" must be mounted on ordinary directory", o->fstype.s);
	}
	if (target < 0) target = root_create(m, &o->root, o->path.s, CREATE_DIRECTORY, (mode_t)o->mode.u);
	if (target < 0) return fail(m, target, "mount point");
	bool classic = m->classic_mounts || has_long_option(o);
	auto_fd tree = classic ? -ENOSYS : make_filesystem(m, o);
	if (tree == -ENOSYS) return classic_mount(o, target);
	return tree < 0 ? tree : attach(tree, target);
}

static int op_open_tree(struct machine *m, const struct op_open_tree *o) {
	int fd = -ENOSYS;
	if (!m->classic_mounts)
		fd = open_tree(AT_FDCWD, o->path.s, OPEN_TREE_CLONE | (o->recursive.u ? TREE_RECURSIVE : 0));
	if (fd == -ENOSYS) {
		m->classic_mounts = true;
		fd = (int)sys(open(o->path.s, O_PATH | O_CLOEXEC));
	}
	int mapped = fd < 0 || o->idmap.u == NONE ? 0 : set_attributes(fd, 0, 0, 0, slot_fd(m, &o->idmap), o->idmap_recursive.u);
	return mapped < 0 ? (close(fd), fail(m, mapped, "idmapped mount")) : slot_set(m, &o->out, fd);
}

static int classic_bind(struct machine *m, const struct op_bind *o, int source, int target) {
	unsigned long flags = classic_flags(o->set.u | o->recursive_set.u);
	int r = (int)sys(mount(fd_path(source).s, fd_path(target).s, NULL, MS_BIND | (o->recursive.u ? MS_REC : 0), NULL));
	if (r < 0 || (!flags && !o->propagation.u)) return r;
	auto_fd mounted = root_open(m, &o->root, o->path.s, O_PATH);
	TRY(mounted);
	if (flags && (r = (int)sys(mount(NULL, fd_path(mounted).s, NULL, MS_REMOUNT | MS_BIND | flags, NULL))) < 0)
		return r;
	return o->propagation.u ? (int)sys(mount(NULL, fd_path(mounted).s, NULL, o->propagation.u, NULL)) : 0;
}

static int op_bind(struct machine *m, const struct op_bind *o) {
	struct stat st;
	auto_fd opened = -1;
	bool classic = m->classic_mounts;
	int tree = slot_fd(m, &o->tree), r;
	if (o->tree.u == NONE) {
		opened = classic ? -ENOSYS
				 : open_tree(AT_FDCWD, o->source.s,
					     OPEN_TREE_CLONE | (o->recursive.u ? TREE_RECURSIVE : 0));
		if (opened == -ENOSYS) {
			classic = true;
			opened = (int)sys(open(o->source.s, O_PATH | O_CLOEXEC));
		}
		tree = opened;
	}
	if (tree < 0 || fstat(tree, &st) < 0)
		return fail(m, tree < 0 && o->tree.u == NONE ? tree : -errno, "source");
	enum create_kind kind = o->kind.u == 1 || (o->kind.u == 0 && S_ISDIR(st.st_mode)) ? CREATE_DIRECTORY : CREATE_FILE;
	auto_fd target = root_create(m, &o->root, o->path.s, kind, kind == CREATE_FILE ? 0644 : 0755);
	if (target < 0) return fail(m, target, "mount point");
	if (classic && o->idmap.u == NONE) return classic_bind(m, o, tree, target);
	if (o->idmap.u != NONE &&
	    (r = set_attributes(tree, 0, 0, 0, slot_fd(m, &o->idmap), o->idmap_recursive.u)) < 0)
		return fail(m, r, "idmapped mount");
	uint64_t propagation = o->propagation.u & ~(uint64_t)MS_REC;
	if ((r = set_attributes(tree, o->set.u, o->clear.u, 0, -1, o->attributes_recursive.u)) < 0 ||
	    (r = set_attributes(tree, o->recursive_set.u, o->recursive_clear.u, 0, -1, true)) < 0 ||
	    (r = set_attributes(tree, 0, 0, propagation, -1, o->propagation.u & MS_REC)) < 0)
		return fail(m, r, "mount attributes");
	return attach(tree, target);
}

static int op_propagation(struct machine *m, const struct op_propagation *o) {
	auto_fd fd = root_open(m, &o->root, o->path.s, O_PATH);
	TRY(fd);
	uint64_t kind = o->flags.u & ~(uint64_t)MS_REC;
	int r = m->classic_mounts ? -ENOSYS : set_attributes(fd, 0, 0, kind, -1, o->flags.u & MS_REC);
	return r == -ENOSYS ? (int)sys(mount(NULL, fd_path(fd).s, NULL, o->flags.u, NULL)) : r;
}

/* Goes up until a directory is a mount point: only that can be made private. */
static int op_parent_private(const char *from) {
	auto_free char *path = strdup(from);
	if (!path) return -ENOMEM;
	for (;;) {
		if (mount(NULL, *path ? path : "/", NULL, MS_PRIVATE, NULL) == 0) return 0;
		char *slash = strrchr(path, '/');
		if (errno != EINVAL || !slash) return -errno;
		*slash = 0;
	}
}

static int op_remount(struct machine *m, const struct op_remount *o) {
	auto_fd fd = root_open(m, &o->root, o->path.s, O_PATH);
	TRY(fd);
	int r = m->classic_mounts ? -ENOSYS
				  : set_attributes(fd, o->set.u, o->clear.u, o->propagation.u, -1, o->recursive.u);
	if (r == -ENOSYS)
		r = (int)sys(mount(NULL, fd_path(fd).s, NULL, MS_REMOUNT | MS_BIND | classic_flags(o->set.u), NULL));
	return r;
}

static int op_unmount(struct machine *m, const struct op_unmount *o) {
	auto_fd fd = root_open(m, &o->root, o->path.s, O_PATH);
	return fd < 0 ? fd : (int)sys(umount2(fd_path(fd).s, DETACH | (int)o->flags.u));
}

/*
 * pivot_root(".", ".") stacks the old root on the new one; it is made a slave first, so that taking it away does
 * not take it away on the host.
 */
static int op_pivot_root(int root) {
	auto_fd old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0 || fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0) return -errno;
	if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", DETACH) < 0)
		return -errno;
	return (int)sys(chdir("/"));
}

/* Makes root the root directory, by covering "/" with it or not. */
static int enter_root(int root, bool cover) {
	TRY(sys(fchdir(root)));
	if (cover) TRY(sys(mount(".", "/", NULL, MS_MOVE, NULL)));
	TRY(sys(chroot(".")));
	return (int)sys(chdir("/"));
}

/*
 * Without pivot_root the host's procfs and sysfs would stay reachable below the covered root, and with them the
 * right to mount unmasked new ones: they go first, or are covered where they cannot.
 */
static int op_move_root(struct machine *m, const struct op_move_root *o) {
	auto_free char **hide = arg_vector(&o->hide);
	for (char **path = hide; path && *path; path++) {
		mount(NULL, *path, NULL, MS_SLAVE | MS_REC, NULL);
		if (umount2(*path, DETACH) < 0 && (errno == EINVAL || errno == EPERM) &&
		    mount("tmpfs", *path, "tmpfs", 0, NULL) < 0)
			return fail(m, -errno, "cover %s", *path);
	}
	return enter_root(slot_fd(m, &o->root), true);
}

static int op_mkdir(struct machine *m, const struct op_mkdir *o) {
	auto_fd there = root_open(m, &o->root, o->path.s, O_PATH | O_DIRECTORY);
	if (there != -ENOENT) return there < 0 ? there : 0;
	auto_fd made = root_create(m, &o->root, o->path.s, CREATE_DIRECTORY, (mode_t)o->mode.u);
	TRY(made);
	auto_fd directory = openat(made, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || fchmod(directory, (mode_t)o->mode.u) < 0) return -errno;
	return o->uid.u || o->gid.u ? (int)sys(fchown(directory, (uid_t)o->uid.u, (gid_t)o->gid.u)) : 0;
}

static int op_mknod(struct machine *m, const struct op_mknod *o) {
	const char *name;
	struct stat st;
	mode_t mode = (mode_t)o->mode.u;
	dev_t device = makedev((unsigned)o->major.u, (unsigned)o->minor.u);
	auto_fd parent = root_parent(m, &o->root, o->path.s, &name);
	TRY(parent);
	mode_t before = umask(0);
	int r = (int)sys(mknodat(parent, name, mode, device));
	umask(before);
	if (r == -EEXIST) {
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
		return (st.st_mode & S_IFMT) == (mode & S_IFMT) && (S_ISFIFO(mode) || st.st_rdev == device) ? 0 : r;
	}
	if (r < 0 || (!o->uid.u && !o->gid.u)) return r;
	return (int)sys(fchownat(parent, name, (uid_t)o->uid.u, (gid_t)o->gid.u, AT_SYMLINK_NOFOLLOW));
}

static int op_symlink(struct machine *m, const struct op_symlink *o) {
	const char *name;
	auto_fd parent = root_parent(m, &o->root, o->path.s, &name);
	TRY(parent);
	int r = (int)sys(symlinkat(o->target.s, parent, name));
	return r == -EEXIST ? 0 : r;
}

/* The container's null device, checked to be one: a symlink there once unmasked files. (CVE-2025-31133) */
static int null_device(struct machine *m, const struct arg *root) {
	struct stat st;
	if (m->null_device >= 0) return m->null_device;
	auto_fd fd = root_open(m, root, "/dev/null", O_PATH | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0) return fail(m, fd < 0 ? fd : -errno, "/dev/null of the container");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return fail(m, -ENODEV, "/dev/null of the container is not the null device");
	m->null_device = fd;
	fd = -1;
	return m->null_device;
}

/* One empty read-only tmpfs serves all masked directories of a container. */
static int mask_tree(const char *context) {
	auto_fd fs = (int)sys(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
	TRY(fs);
	int r = configure(fs, FSCONFIG_SET_STRING, "size", "4k");
	if (r == 0 && *context) r = configure(fs, FSCONFIG_SET_STRING, "context", context);
	if (r == 0) r = configure(fs, FSCONFIG_CMD_CREATE, NULL, NULL);
	return r < 0 ? r : (int)sys(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
}

static int op_mask_path(struct machine *m, const struct op_mask_path *o) {
	struct stat st;
	auto_fd target = root_open(m, &o->root, o->path.s, O_PATH);
	if (target == -ENOENT || target == -ENOTDIR) return 0;
	if (target < 0 || fstat(target, &st) < 0) return target < 0 ? target : -errno;
	bool directory = S_ISDIR(st.st_mode);
	if (directory && m->mask_tree < 0 && !m->classic_mounts) {
		m->mask_tree = mask_tree(o->context.s);
		if (m->mask_tree != -ENOSYS) /* the first is the tree itself, the others are copies of it */
			return m->mask_tree < 0 ? m->mask_tree : attach(m->mask_tree, target);
	}
	int source = directory ? m->mask_tree : null_device(m, &o->root);
	if (!directory && source < 0) return source;
	if (m->classic_mounts || source == -ENOSYS)
		return directory ? (int)sys(mount("tmpfs", fd_path(target).s, "tmpfs", MS_RDONLY, "size=4k"))
				 : (int)sys(mount(fd_path(source).s, fd_path(target).s, NULL, MS_BIND, NULL));
	TRY(source);
	auto_fd tree = open_tree(source, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	return tree < 0 ? tree : attach(tree, target);
}

static int op_readonly_path(struct machine *m, const struct op_readonly_path *o) {
	auto_fd target = root_open(m, &o->root, o->path.s, O_PATH);
	if (target == -ENOENT || target == -ENOTDIR) return 0;
	TRY(target);
	auto_fd tree = m->classic_mounts ? -ENOSYS
					 : open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | TREE_RECURSIVE);
	if (tree == -ENOSYS) {
		struct op_bind bind = {.root = o->root, .path = o->path, .recursive.u = 1,
				       .set.u = MOUNT_ATTR_RDONLY};
		return classic_bind(m, &bind, target, target);
	}
	int r = tree < 0 ? tree : set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, -1, false);
	return r < 0 ? r : attach(tree, target);
}

int mount_operation(struct machine *m, uint16_t number, const struct arg *a) {
	switch (number) {
	case OP_OPEN_TREE: return op_open_tree(m, (const void *)a);
	case OP_PROPAGATION: return op_propagation(m, (const void *)a);
	case OP_PARENT_PRIVATE: return op_parent_private(a[0].s);
	case OP_MOUNT: return op_mount(m, (const void *)a);
	case OP_BIND: return op_bind(m, (const void *)a);
	case OP_REMOUNT: return op_remount(m, (const void *)a);
	case OP_UNMOUNT: return op_unmount(m, (const void *)a);
	case OP_PIVOT_ROOT: return op_pivot_root(slot_fd(m, &a[0]));
	case OP_MOVE_ROOT: return op_move_root(m, (const void *)a);
	case OP_CHROOT: return enter_root(slot_fd(m, &a[0]), false);
	case OP_MKDIR: return op_mkdir(m, (const void *)a);
	case OP_MKNOD: return op_mknod(m, (const void *)a);
	case OP_SYMLINK: return op_symlink(m, (const void *)a);
	case OP_MASK_PATH: return op_mask_path(m, (const void *)a);
	case OP_READONLY_PATH: return op_readonly_path(m, (const void *)a);
	default: return -ENOSYS;
	}
}
