/*
 * `corten-native init <steps>`: runs a plan without a monitor, for runc's command line.
 *
 * Descriptors: 0-2 the container's, 3 control socket (frames), 4 result area, 5 plan, 6… the plan's own.
 * This process stays as the container's parent unless detached, so that the command line learns the exit
 * status; detached it ends as soon as the container waits at its gate, and the container goes to the next
 * subreaper above (containerd's shim, conmon).
 */
#include "monitor.h"

#define FIRST_FD 6

int frame_send(int sock, uint8_t type, const void *payload, uint32_t length) {
	char buffer[sizeof(struct frame) + 512];
	struct frame f = {.length = length, .type = type};
	if (length > 512) return -EMSGSIZE;
	memcpy(buffer, &f, sizeof f);
	if (length > 0) memcpy(buffer + sizeof f, payload, length);
	return send_with_fd(sock, buffer, sizeof f + length, -1);
}

static int read_exact(int fd, void *data, size_t size) {
	for (char *p = data; size > 0;) {
		ssize_t n = read(fd, p, size);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return n < 0 ? -errno : -ECONNRESET;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Waits for one frame of the given type and size; the launcher sends nothing else at such a point. */
static int frame_wait(int sock, uint8_t type, void *payload, uint32_t size) {
	struct frame f;
	int r = read_exact(sock, &f, sizeof f);
	if (r == 0) r = f.type != type || f.length != size ? -EBADMSG : read_exact(sock, payload, size);
	return r;
}

int on_sync(struct machine *m, uint32_t id) {
	int32_t message[2] = {(int32_t)id, m->pid}, answer = 0;
	int control = *(int *)m->context;
	int r = frame_send(control, FRAME_SYNC, message, sizeof message);
	if (r == 0) r = frame_wait(control, FRAME_SYNC_DONE, &answer, sizeof answer);
	return r < 0 ? r : answer ? -ECANCELED : 0;
}

/* Marks ours close-on-exec and refuses descriptors that should be there and are not. */
static int adopt_slots(struct machine *m, int first) {
	for (uint32_t i = 0; i < m->plan.fds; i++) {
		m->slots[i] = first + (int)i;
		TRY(sys(fcntl(m->slots[i], F_SETFD, FD_CLOEXEC)));
	}
	return 0;
}

int plan_load(struct machine *m, int result_fd, int plan_fd, int first) {
	void *bytes, *result;
	size_t size, room;
	int r = map_file(result_fd, RESULT_HEADER_BYTES + MAX_STEPS * sizeof(struct result_step), true, &result, &room);
	if (r < 0 || room < RESULT_HEADER_BYTES) return r < 0 ? r : -EBADMSG;
	machine_setup(m, result);
	r = map_file(plan_fd, MAX_PLAN_BYTES, false, &bytes, &size);
	if (r == 0) r = plan_decode(&m->plan, bytes, size, false);
	if (r == 0 && room < RESULT_HEADER_BYTES + m->plan.count * sizeof(struct result_step)) r = -EBADMSG;
	if (r == 0) r = adopt_slots(m, first);
	if (r < 0) {
		fail_final(m, r, "the plan is malformed");
		m->result->error = -r;
		m->result->state = STATE_FAILED;
	}
	close(result_fd);
	close(plan_fd);
	return r;
}

int init_main(int argc, char **argv) {
	static struct machine m;
	int control = 3, status = 0;
	bool detach = argc > 0 && strcmp(argv[0], "--detach") == 0;
	prctl(PR_SET_DUMPABLE, 0);
	if (fcntl(control, F_SETFD, FD_CLOEXEC) < 0 || fcntl(4, F_GETFD) < 0 || fcntl(5, F_GETFD) < 0) {
		dprintf(2, "corten-native init is started by corten, not by hand\n");
		return 125;
	}
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTOU, SIGTTIN};
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	fcntl(control, F_SETFL, fcntl(control, F_GETFL) & ~O_NONBLOCK);
	int r = plan_load(&m, 4, 5, FIRST_FD);
	if (r == 0) {
		m.on_sync = on_sync;
		m.context = &control;
		r = machine_run(&m);
		if (r < 0) machine_abandon(&m);
	}
	if (r < 0) {
		frame_send(control, FRAME_FAILED, NULL, 0);
		return 125;
	}
	int32_t pid = m.pid;
	if (frame_send(control, FRAME_READY, &pid, sizeof pid) < 0 && detach) return 0;
	if (detach) return 0;
	for (uint32_t i = 0; i < m.plan.fds; i++) /* a preserved pipe must end with the container */
		close(m.slots[i]);
	while (waitpid(m.pid, &status, 0) < 0 && errno == EINTR) continue;
	int32_t code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	frame_send(control, FRAME_EXIT, &code, sizeof code);
	return code;
}
