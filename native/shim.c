/*
 * `containerd-shim-corten-v2`: the commands that containerd waits for, without a start of corten. `start` asks the shim
 * server, and starts one where there is none; `delete` answers for a task that is gone already. Whatever is not that, or is
 * odd in any way, is corten's: it becomes corten, with the same arguments (docs/adr/0008-native-shim-commands.md). So nothing
 * here is half done that corten could not do again.
 */
#include "base.h"
#include <ctype.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/time.h>
#include <time.h>

#define NAME "containerd-shim-corten-v2"
#define LONGEST_SOCKET 107 /* sun_path, without its end */
#define LONGEST_NAMESPACE 76
#define PATIENCE 20 /* seconds for the server's answer */

/* Where corten is: `corten shim install` writes it here. Without it, corten is beside this file. */
static const volatile struct {
	char mark[16];
	char path[PATH_MAX];
} installed = {.mark = "corten-is-at-->"};

struct call {
	const char *namespace, *id, *address, *publish_binary, *bundle;
	const char *action;
	bool debug;
};

struct place {
	char state[PATH_MAX]; /* containerd's state directory: of place_of() only */
	char directory[PATH_MAX];
	char socket[PATH_MAX];
};

static char corten[PATH_MAX];

static int find_corten(void) {
	size_t n = 0;
	while (n < sizeof corten - 1 && (corten[n] = installed.path[n])) n++;
	if (n > 0) return 0;
	ssize_t length = readlink("/proc/self/exe", corten, sizeof corten - sizeof "corten");
	TRY(sys(length));
	corten[length] = 0;
	strcpy(strrchr(corten, '/') + 1, "corten");
	return 0;
}

/* Ours are no more: corten does it. */
static int hand_over(char **argv) {
	argv[0] = (char *)NAME;
	execv(corten, argv);
	dprintf(2, NAME ": %s: %s\n", corten, strerror(errno));
	return 1;
}

/* Go's flags, as containerd writes them: `-name value`, then the action. False for any other way to say it. */
static bool parse(char **argv, struct call *c) {
	*c = (struct call){.namespace = "", .id = "", .address = "", .publish_binary = "", .bundle = ""};
	struct {
		const char *flag;
		const char **value;
	} flags[] = {{"-namespace", &c->namespace}, {"-id", &c->id}, {"-address", &c->address},
		{"-publish-binary", &c->publish_binary}, {"-bundle", &c->bundle}};
	for (argv++; *argv; argv++) {
		if (**argv != '-') {
			c->action = *argv;
			return argv[1] == NULL;
		}
		if (strcmp(*argv, "-debug") == 0) {
			c->debug = true;
			continue;
		}
		size_t i = 0;
		while (i < sizeof flags / sizeof *flags && strcmp(*argv, flags[i].flag) != 0) i++;
		if (i == sizeof flags / sizeof *flags || !*++argv) return false;
		*flags[i].value = *argv;
	}
	return false;
}

/* containerd's identifiers, which become names of files: /^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$/ */
static bool is_identifier(const char *text) {
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && (!strchr("._-", *p) || p == text || !isalnum((unsigned char)p[-1]))) return false;
	size_t n = strlen(text);
	return n > 0 && n <= LONGEST_NAMESPACE && isalnum((unsigned char)text[n - 1]);
}

/* Stands in JSON as it is. */
static bool is_plain(const char *text) {
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\') return false;
	return true;
}

/* FNV-1a of 64 bits, in 16 hexadecimal digits. src/shim/v2/place.ts has the same. */
static void hash(const char *text, char digits[17]) {
	uint64_t h = 0xcbf29ce484222325;
	for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3;
	snprintf(digits, 17, "%016llx", (unsigned long long)h);
}

FMT(2, 3) static bool print(char out[PATH_MAX], const char *format, ...) {
	va_list args;
	va_start(args, format);
	int n = vsnprintf(out, PATH_MAX, format, args);
	va_end(args);
	return n >= 0 && n < PATH_MAX;
}

static bool place_at(struct place *p, const char *directory) {
	return print(p->directory, "%s", directory) && print(p->socket, "%s/s", directory);
}

/* placeOf() of src/shim/v2/place.ts: the state directory is three above the bundle, the build is told by corten's file. */
static bool place_of(struct place *p, const char *bundle) {
	char directory[PATH_MAX], text[128], build[17], far[17], *state = p->state;
	struct stat st;
	if (*bundle != '/' || !print(state, "%s", bundle) || stat(corten, &st) < 0) return false;
	for (int i = 0; i < 3; i++) {
		char *slash = strrchr(state, '/');
		if (slash == state) return false;
		*slash = 0;
	}
	snprintf(text, sizeof text, "%llu:%llu:%lld%09ld", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	hash(text, build);
	hash(state, far);
	if (!print(directory, "%s/corten-shim/%s", state, build)) return false;
	/* With room for the longest name there: "/h-" and 16 digits. */
	if (strlen(directory) + 3 + 16 > LONGEST_SOCKET) print(directory, "/run/corten-shim/%s-%s", far, build);
	return place_at(p, directory);
}

static bool namespace_socket(const struct place *p, const char *namespace, char out[PATH_MAX]) {
	if (print(out, "%s/n-%s", p->directory, namespace) && strlen(out) <= LONGEST_SOCKET) return true;
	char digits[17];
	hash(namespace, digits);
	return print(out, "%s/h-%s", p->directory, digits);
}

/* Up to size - 1 bytes of a small file, ended by a zero. */
static ssize_t read_small(const char *path, char *out, size_t size) {
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	TRY(sys(fd));
	ssize_t n = read(fd, out, size - 1);
	if (n < 0) return -errno;
	out[n] = 0;
	return n;
}

static bool replace_file(const char *path, const char *content) {
	auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return fd >= 0 && write_all(fd, content, strlen(content)) == 0;
}

/*
 * The value of `key` in a JSON text where `key` is a string of its own, without parsing the rest: a quote that is not
 * escaped, with this after it, begins a string in any valid JSON. 0: there is none. -1: not one of plain characters.
 */
static int annotation(const char *json, const char *key, char *out, size_t size) {
	size_t n = strlen(key);
	for (const char *at = json; (at = strstr(at, key)); at += n) {
		if (at == json || at[-1] != '"' || (at - 1 > json && at[-2] == '\\') || at[n] != '"') continue;
		const char *p = at + n + 1;
		p += strspn(p, " \t\r\n");
		if (*p != ':') continue;
		p += 1 + strspn(p + 1, " \t\r\n");
		size_t length = 0;
		if (*p++ != '"') return -1;
		while (isalnum((unsigned char)p[length]) || (p[length] && strchr("_.-", p[length]))) length++;
		if (p[length] != '"' || length == 0 || length >= size || *p == '.') return -1;
		memcpy(out, p, length);
		out[length] = 0;
		return 1;
	}
	return 0;
}

/* The place of the server that has the pod which this bundle's container is of. As annotation(). */
static int group_place(const char *bundle, struct place *p) {
	char group[256], path[PATH_MAX], address[512];
	auto_fd fd = open("config.json", O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > 16 << 20) return -1;
	auto_free char *json = calloc(1, (size_t)st.st_size + 1);
	if (!json || read(fd, json, (size_t)st.st_size) != st.st_size) return -1;
	int found = annotation(json, "io.containerd.runc.v2.group", group, sizeof group);
	if (found == 0) found = annotation(json, "io.kubernetes.cri.sandbox-id", group, sizeof group);
	if (found <= 0) return found;
	if (!print(path, "%s/../%s/address", bundle, group)) return -1;
	if (read_small(path, address, sizeof address) <= 0) return 0;
	address[strcspn(address, "\r\n \t")] = 0;
	char *socket = strncmp(address, "unix://", 7) == 0 ? address + 7 : address;
	return place_at(p, dirname(socket)) ? 1 : -1;
}

struct answer {
	int pid, version;
};

/* src/shim/v2/control.ts: a line there, a line back. */
static bool ask(const struct place *p, const char *question, struct answer *a) {
	auto_fd sock = connect_unix(p->socket);
	if (sock < 0) return false;
	struct timeval patience = {.tv_sec = PATIENCE};
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (send(sock, question, strlen(question), MSG_NOSIGNAL) != (ssize_t)strlen(question)) return false;
	char line[256];
	size_t n = 0;
	for (;;) {
		ssize_t r = read(sock, line + n, sizeof line - 1 - n);
		if (r < 0 && errno == EINTR) continue;
		if (r <= 0) return false;
		n += (size_t)r;
		line[n] = 0;
		if (line[n - 1] == '\n') break;
		if (n == sizeof line - 1) return false;
	}
	return sscanf(line, "{\"pid\":%d,\"version\":%d}", &a->pid, &a->version) == 2;
}

/* Waits for the lock of a place. The last server takes the file along: it must still be the one that was opened. */
static int lock_place(const struct place *p) {
	char above[PATH_MAX], lock[PATH_MAX];
	strcpy(above, p->directory);
	if (!print(lock, "%s/lock", p->directory)) return -ENAMETOOLONG;
	dirname(above);
	for (int i = 0; i < 1000; i++) {
		if ((mkdir(above, 0700) < 0 || mkdir(p->directory, 0700) < 0) && errno != EEXIST && errno != ENOENT) return -errno;
		int fd = open(lock, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 && errno == ENOENT) continue;
		TRY(sys(fd));
		struct stat ours, now;
		int r;
		while ((r = (int)sys(flock(fd, LOCK_EX))) == -EINTR) continue;
		if (r == 0 && fstat(fd, &ours) == 0 && stat(lock, &now) == 0 && ours.st_ino == now.st_ino) return fd;
		close(fd);
		TRY(r);
	}
	return -ENOENT;
}

/* In the new process: the server, as launch.ts starts it. */
static int serve(const struct place *p, const struct call *c, bool asks, int out, int log) {
	const char *argv[12] = {NAME}, **next = argv + 1;
	if (c->debug) *next++ = "-debug";
	if (asks) {
		*next++ = "-publish-binary";
		*next++ = c->publish_binary;
	}
	*next++ = "-socket";
	*next++ = p->socket;
	*next++ = "-bundle";
	*next++ = p->state;
	*next++ = "serve";
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	setsid();
	if (null < 0 || chdir("/") < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(log, 2) < 0) return 1;
	execv(corten, (char **)argv);
	return 1;
}

/* One at a time for a place: who comes second finds the first one's server. False: corten is to say why. */
static bool start_server(const struct place *p, const struct call *c, bool asks, const char *question, struct answer *a) {
	auto_fd lock = lock_place(p);
	if (lock < 0) return false;
	if (ask(p, question, a)) return true;
	char path[PATH_MAX];
	int ready[2];
	unlink(p->socket);
	if (!print(path, "%s/log", p->directory)) return false;
	auto_fd log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (log < 0 || pipe2(ready, O_CLOEXEC) < 0) return false;
	pid_t child = fork();
	if (child == 0) _exit(serve(p, c, asks, ready[1], log));
	close(ready[1]);
	char one;
	ssize_t n = child < 0 ? -1 : read(ready[0], &one, 1);
	close(ready[0]);
	return n == 1 && ask(p, question, a);
}

static const char *variable(const char *name, const char *without) {
	const char *value = getenv(name);
	return value ? value : without;
}

/* 0 when all is done and printed, -1 when nothing is. */
static int start(const struct call *c) {
	char bundle[PATH_MAX], question[4 * PATH_MAX], socket[PATH_MAX], text[PATH_MAX + 128];
	const char *ttrpc = variable("TTRPC_ADDRESS", ""), *grpc = variable("GRPC_ADDRESS", c->address);
	if (!is_identifier(c->namespace) || !*c->id || !getcwd(bundle, sizeof bundle)) return -1;
	if (!is_plain(ttrpc) || !is_plain(grpc) || !is_plain(c->publish_binary) || !is_plain(bundle)) return -1;
	bool asks = getenv("MAX_SHIM_VERSION") != NULL;
	int n = snprintf(question, sizeof question,
		"{\"namespace\":\"%s\",\"callback\":{\"ttrpcAddress\":\"%s\",\"grpcAddress\":\"%s\",\"publishBinary\":\"%s\"},"
		"\"asksVersion\":%s}\n",
		c->namespace, ttrpc, grpc, c->publish_binary, asks ? "true" : "false");
	if (n < 0 || n >= (int)sizeof question) return -1;
	struct place p;
	struct answer a;
	int group = group_place(bundle, &p);
	if (group < 0) return -1;
	if (!(group > 0 && ask(&p, question, &a)) &&
		!(place_of(&p, bundle) && (ask(&p, question, &a) || start_server(&p, c, asks, question, &a))))
		return -1;
	if (!namespace_socket(&p, c->namespace, socket)) return -1;
	snprintf(text, sizeof text, "%d", a.pid);
	if (!replace_file("shim.pid", text)) return -1;
	snprintf(text, sizeof text, "unix://%s", socket);
	if (!replace_file("address", text)) return -1;
	if (a.version >= 3)
		snprintf(text, sizeof text, "{\"version\":%d,\"address\":\"unix://%s\",\"protocol\":\"ttrpc\"}", a.version, socket);
	return write_all(1, text, strlen(text)) < 0 ? 1 : 0;
}

static uint8_t *varint(uint8_t *out, uint8_t tag, uint64_t value) {
	*out++ = tag;
	for (; value > 127; value >>= 7) *out++ = (uint8_t)(value | 128);
	*out++ = (uint8_t)value;
	return out;
}

/* A task that its server has deleted, which is how nearly all go: containerd.task.v2.DeleteResponse, as if by SIGKILL. */
static int delete(const struct call *c) {
	char record[PATH_MAX];
	if (!*c->namespace || !*c->id || !print(record, "%s%stask.json", c->bundle, *c->bundle ? "/" : "")) return -1;
	if (access(record, F_OK) == 0 || errno != ENOENT) return -1;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint8_t time[32], message[64];
	uint8_t *end = varint(varint(time, 1 << 3, (uint64_t)now.tv_sec), 2 << 3, (uint64_t)now.tv_nsec);
	uint8_t *out = varint(message, 2 << 3, 128 + SIGKILL);
	out = varint(out, 3 << 3 | 2, (uint64_t)(end - time));
	memcpy(out, time, (size_t)(end - time));
	return write_all(1, message, (size_t)(out - message + (end - time))) < 0 ? 1 : 0;
}

int main(int argc, char **argv) {
	if (argc < 1 || find_corten() < 0) return 1;
	struct call c;
	int result = -1;
	if (parse(argv, &c)) {
		if (strcmp(c.action, "start") == 0) result = start(&c);
		if (strcmp(c.action, "delete") == 0) result = delete(&c);
	}
	return result < 0 ? hand_over(argv) : result;
}
