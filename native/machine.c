/*
 * The plan machine. Up to three processes share one plan, and exactly one of them runs at any time:
 *
 *   parent   the launcher's side (init's first process, or the monitor). It must keep the runtime's own
 *            namespaces, to write id maps, run runtime hooks and stay the container's parent.
 *   stage    exists only when something has to be joined before the clone (a pid or time namespace, resource
 *            limits): these joins cannot be undone, so they happen in a process that ends right after the clone.
 *   child    the container's process.
 *
 * A baton travels over a socket pair whenever the next operation belongs to the other side; the end of the
 * socket tells the parent that the child has been exec'ed or is dead. Results are in memory shared by all.
 */
#include "plan.h"
#include <linux/sched.h>
#include <sched.h>

enum baton_kind { BATON_TURN, BATON_READY, BATON_CONSOLE };
struct baton {
	uint32_t kind, step;
};

void machine_setup(struct machine *m, struct result *result) {
	*m = (struct machine){.result = result, .proc = -1, .baton = -1, .baton_child = -1, .console = -1,
			      .stdio = {-1, -1, -1}, .null_device = -1, .mask_tree = -1};
	for (int i = 0; i < MAX_SLOTS; i++) m->slots[i] = -1;
	memcpy(result->magic, RESULT_MAGIC, sizeof result->magic);
	result->version = PLAN_VERSION;
	result->state = STATE_RUNNING;
	result->start_ns = monotonic_ns();
}

int fail_with(struct machine *m, int error, bool final, const char *format, ...) {
	va_list list;
	va_start(list, format);
	vsnprintf(m->result->detail, sizeof m->result->detail, format, list);
	va_end(list);
	m->result->final = final;
	return error;
}

int slot_fd(const struct machine *m, const struct arg *slot) {
	return slot->u == NONE ? -1 : m->slots[slot->u];
}

int slot_set(struct machine *m, const struct arg *slot, int fd) {
	TRY(fd);
	if (m->slots[slot->u] >= 0) close(m->slots[slot->u]);
	m->slots[slot->u] = fd;
	return 0;
}

static void fail_step(struct machine *m, int error) {
	m->result->failed_step = m->step;
	m->result->error = error == -ECANCELED ? 0 : -error; /* a hook's status, in words only */
	__atomic_store_n(&m->result->state, STATE_FAILED, __ATOMIC_RELEASE);
}

/* At the gate nothing that the rest of the plan does not use stays open: we may wait there for days. */
static void close_unused(struct machine *m) {
	bool used[MAX_SLOTS] = {false};
	for (uint32_t i = m->step; i < m->plan.count; i++) {
		struct arg args[MAX_FIELDS];
		const struct step *s = &m->plan.steps[i];
		plan_args(s, args);
		for (size_t k = 0; s->desc->fields[k]; k++)
			if ((s->desc->fields[k] | 32) == 'f' && args[k].u != NONE) used[args[k].u] = true;
	}
	for (int i = 0; i < MAX_SLOTS; i++) {
		if (used[i] || m->slots[i] < 0) continue;
		close(m->slots[i]);
		m->slots[i] = -1;
	}
	int *extra[] = {&m->null_device, &m->mask_tree};
	for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
		if (*extra[i] >= 0) close(*extra[i]);
		*extra[i] = -1;
	}
}

static int send_baton(const struct machine *m, enum baton_kind kind, int fd) {
	struct baton b = {.kind = kind, .step = m->step};
	return send_with_fd(m->baton, &b, sizeof b, fd);
}

static int op_gate(struct machine *m, const struct op_gate *o) {
	char path[64];
	int fifo = slot_fd(m, &o->fifo);
	close_unused(m);
	snprintf(path, sizeof path, "self/fd/%d", fifo);
	m->result->state = STATE_READY;
	TRY(send_baton(m, BATON_READY, -1));
	auto_fd gate = -1;
	do
		gate = openat(m->proc, path, O_WRONLY | O_CLOEXEC);
	while (gate < 0 && errno == EINTR);
	TRY(sys(gate));
	m->result->gate_opened = 1;
	return write_all(gate, "0", 1);
}

/* Operations of the machine itself; the others live with their family. */
static int run_operation(struct machine *m, uint16_t number, const struct arg *args) {
	if (number == OP_GATE) return op_gate(m, (const void *)args);
	if (number == OP_SYNC) return m->on_sync ? m->on_sync(m, (uint32_t)args[0].u) : -ENOSYS;
	if (number == OP_CLOSE) {
		int fd = slot_fd(m, &args[0]);
		if (fd < 0) return -EBADF;
		m->slots[args[0].u] = -1;
		return (int)sys(close(fd));
	}
	if ((number >= OP_PROPAGATION && number <= OP_READONLY_PATH) || number == OP_OPEN_TREE)
		return mount_operation(m, number, args);
	return process_operation(m, number, args);
}

static int run_step(struct machine *m) {
	const struct step *s = &m->plan.steps[m->step];
	struct arg args[MAX_FIELDS];
	int r = plan_args(s, args);
	m->result->failed_step = m->step; /* where a sudden death happened */
	m->result->detail[0] = 0;
	m->result->final = 0;
	if (r == 0) r = run_operation(m, s->desc->number, args);
	struct result_step *done = &m->result->step[m->step];
	done->role = s->role;
	done->end_ns = monotonic_ns();
	if (r < 0 && (s->flags & FLAG_TOLERANT)) {
		done->warning = -r;
		r = 0;
	}
	if (r < 0) fail_step(m, r);
	else m->step++;
	return r;
}

/* Nothing of the launcher may reach the container: not its ignored signals, not its mask. */
static void reset_signals(void) {
	sigset_t none;
	for (int i = 1; i < 65; i++)
		if (i != SIGKILL && i != SIGSTOP && !(i >= 32 && i < 34)) signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void run_child(struct machine *m) {
	uint32_t first = m->step;
	close(m->baton);
	m->baton = m->baton_child;
	m->baton_child = -1;
	m->role = ROLE_CHILD;
	m->pid = m->result->pid;
	reset_signals();
	for (int i = 0; i < 3; i++)
		if (m->stdio[i] >= 0 && dup2(m->stdio[i], i) < 0) _exit(127);
	while (m->step < m->plan.count) {
		if (m->plan.steps[m->step].role == ROLE_CHILD) {
			int r = run_step(m);
			if (r < 0) _exit(r == -ENOENT ? 127 : r == -EACCES ? 126 : 1);
			continue;
		}
		struct baton b;
		int fd;
		if ((m->step != first && send_baton(m, BATON_TURN, -1) < 0) ||
		    recv_with_fd(m->baton, &b, sizeof b, &fd) != sizeof b)
			_exit(1); /* the parent is gone or gave up */
		m->step = b.step;
	}
	_exit(1);
}

/* Runs the stage's operations and the clone, in the parent itself or in a process of its own. */
static int run_stage(struct machine *m, bool own_process) {
	m->role = ROLE_STAGE;
	while (m->plan.steps[m->step].desc->number != OP_CLONE) TRY(run_step(m));
	struct arg args[MAX_FIELDS];
	plan_args(&m->plan.steps[m->step], args);
	const struct op_clone *o = (const void *)args;
	/* The pid is written to the shared page before the child runs, so that both sides may use it at once. */
	struct clone_args clone = {
		.flags = o->flags.u | CLONE_PARENT_SETTID | (own_process ? CLONE_PARENT : 0),
		.exit_signal = own_process ? 0 : SIGCHLD,
		.parent_tid = (uint64_t)(uintptr_t)&m->result->pid,
	};
	m->result->detail[0] = 0;
	m->result->failed_step = m->step;
	if (o->cgroup.u != NONE) {
		clone.flags |= CLONE_INTO_CGROUP;
		clone.cgroup = (uint64_t)slot_fd(m, &o->cgroup);
	}
	long pid = sys(syscall(SYS_clone3, &clone, sizeof clone));
	if (pid < 0) {
		fail_step(m, (int)pid);
		return (int)pid;
	}
	if (pid == 0) m->result->step[m->step].end_ns = monotonic_ns();
	m->step++;
	if (pid == 0) run_child(m);
	return 0;
}

static bool changes_process(uint16_t number) {
	return number != OP_OPEN && number != OP_OPEN_TREE && number != OP_CONNECT && number != OP_CLOSE &&
	       number != OP_USER_NAMESPACE && number != OP_CLONE;
}

static int start(struct machine *m) {
	bool own_process = false;
	uint32_t clone = 0;
	for (; m->plan.steps[clone].desc->number != OP_CLONE; clone++)
		own_process |= changes_process(m->plan.steps[clone].desc->number);
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
	m->baton = pair[0];
	m->baton_child = pair[1];
	int r = 0;
	if (own_process) {
		int status = 0;
		pid_t stage = fork();
		if (stage == 0) _exit(run_stage(m, true) < 0);
		TRY(sys(stage));
		while (waitpid(stage, &status, 0) < 0 && errno == EINTR) continue;
		if (status != 0) r = m->result->state == STATE_FAILED ? -m->result->error : -ECANCELED;
		m->step = clone + 1;
	} else {
		r = run_stage(m, false);
	}
	close(m->baton_child);
	m->baton_child = -1;
	m->role = ROLE_PARENT;
	m->pid = m->result->pid;
	return r;
}

/* What the end of the baton socket means: an exec'ed process, a failure it has written down, or a sudden death. */
static int child_ended(struct machine *m) {
	uint32_t state = __atomic_load_n(&m->result->state, __ATOMIC_ACQUIRE);
	if (state == STATE_EXECUTED) return 0;
	if (state == STATE_FAILED) return m->result->error ? -m->result->error : -ECANCELED;
	m->step = m->result->failed_step;
	fail(m, 0, "the process ended unexpectedly");
	fail_step(m, 0);
	return -ECANCELED;
}

int machine_run(struct machine *m) {
	m->result->steps = m->plan.count;
	m->classic_mounts = (m->plan.flags & PLAN_FORCE_CLASSIC_MOUNTS) != 0;
	m->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = m->proc < 0 ? -errno : check_magic(m->proc, PROC_SUPER_MAGIC);
	if (r < 0) {
		fail(m, r, "/proc of the host");
		fail_step(m, r);
		return r;
	}
	prctl(PR_SET_DUMPABLE, 0); /* no process of the container may look into us or reopen our executable */
	r = start(m);
	bool child_waits = m->step < m->plan.count && m->plan.steps[m->step].role == ROLE_PARENT;
	while (r == 0) {
		if (m->plan.steps[m->step].role == ROLE_PARENT) {
			r = run_step(m);
			continue;
		}
		if (child_waits && (r = send_baton(m, BATON_TURN, -1)) < 0) break;
		struct baton b = {0};
		int fd;
		ssize_t n = recv_with_fd(m->baton, &b, sizeof b, &fd);
		if (n == 0 || n == -ECONNRESET) return child_ended(m);
		if (n != sizeof b) return n < 0 ? (int)n : -EBADMSG;
		child_waits = b.kind == BATON_TURN;
		if (b.kind == BATON_READY) return 0;
		if (b.kind == BATON_CONSOLE) m->console = fd;
		else m->step = b.step;
	}
	return r;
}

void machine_abandon(struct machine *m) {
	if (m->baton >= 0) close(m->baton);
	m->baton = -1;
	if (m->result->pid <= 0) return;
	kill(m->result->pid, SIGKILL); /* our own child, not yet reaped: the number cannot be another's */
	while (waitpid(m->result->pid, NULL, 0) < 0 && errno == EINTR) continue;
}
