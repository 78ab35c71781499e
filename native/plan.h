/* A plan as decoded, the result area, and the machine that executes the one and fills the other. */
#ifndef CORTEN_PLAN_H
#define CORTEN_PLAN_H
#include "base.h"

#define NONE 0xffffffffu

/* One decoded field. Strings end in NUL and hold no other; `s` of a list is its first encoded string. */
struct arg {
	uint64_t u;
	const char *s;
	uint32_t n; /* bytes of a string, strings of a list */
};

struct op_desc {
	uint16_t number;
	uint16_t roles;
	const char *name;
	const char *fields;
};

#include "ops.gen.h"

struct step {
	const struct op_desc *desc;
	uint8_t role, flags;
	const unsigned char *fields, *end;
};

struct plan {
	uint32_t count, fds, flags;
	struct step *steps;
};

#define PLAN_FORCE_CLASSIC_MOUNTS 1

/* Decodes and checks all of a plan before anything of it runs; `monitor` chooses which roles it may have. */
int plan_decode(struct plan *plan, const void *bytes, size_t size, bool monitor);
void plan_free(struct plan *plan);
/* The fields of a step, as an array that the generated op_* structs lay over. */
int plan_args(const struct step *step, struct arg args[MAX_FIELDS]);
/* A NULL-terminated vector of a list field; the strings stay in the plan. */
char **arg_vector(const struct arg *list);
/* Maps a memfd read-only; size 0 or above `limit` is refused. */
int map_file(int fd, size_t limit, bool writable, void **bytes, size_t *size);

struct result_step {
	uint64_t end_ns;
	int32_t warning; /* errno of a tolerated failure */
	uint32_t role;
};

struct result {
	char magic[8];
	uint32_t version, steps;
	uint32_t state, failed_step;
	int32_t error;
	uint32_t final; /* detail is the whole message */
	int32_t pid; /* of the container's process, in the runtime's pid namespace */
	uint32_t gate_opened;
	uint64_t start_ns;
	uint64_t reserved;
	char detail[RESULT_DETAIL_BYTES];
	struct result_step step[];
};
_Static_assert(offsetof(struct result, step) == RESULT_HEADER_BYTES, "ops.json must know the result header");

struct machine {
	struct plan plan;
	struct result *result;
	int slots[MAX_SLOTS];
	uint32_t step;
	uint8_t role;
	bool classic_mounts;
	int proc; /* the host's procfs, checked */
	int baton; /* our end of the pair that orders parent and child */
	int baton_child; /* the child's end, until the clone */
	pid_t pid; /* parent: the container's process; 0 before the clone */
	int stdio[3]; /* what the child gets as 0, 1, 2; -1 inherits */
	int console; /* parent: the pty master, if a plan made one */
	char *executable; /* what lookup found */
	int null_device, mask_tree;
	bool sealed; /* every descriptor was marked close-on-exec before a seccomp filter came */
	int (*on_sync)(struct machine *m, uint32_t id);
	void *context;
};

void machine_setup(struct machine *m, struct result *result);
/* Runs the plan in this process and its children until the process waits at its gate, or was exec'ed (0). */
int machine_run(struct machine *m);
/* Why machine_run failed, as far as it concerns us: the child is ended and reaped. */
void machine_abandon(struct machine *m);

int slot_fd(const struct machine *m, const struct arg *slot);
int slot_set(struct machine *m, const struct arg *slot, int fd);
/* Puts the detail of the failure that is about to be returned; a final one is the complete message for the user. */
int fail_with(struct machine *m, int error, bool final, const char *format, ...) FMT(4, 5);
#define fail(m, error, ...) fail_with(m, error, false, __VA_ARGS__)
#define fail_final(m, error, ...) fail_with(m, error, true, __VA_ARGS__)

/* path.c: every path inside the rootfs is resolved by the kernel below the rootfs descriptor. */
enum create_kind { CREATE_NOTHING, CREATE_DIRECTORY, CREATE_FILE };
int root_open(const struct machine *m, const struct arg *root, const char *path, uint64_t flags);
int root_create(const struct machine *m, const struct arg *root, const char *path, enum create_kind kind, mode_t mode);
int root_parent(const struct machine *m, const struct arg *root, const char *path, const char **base);
int proc_write(struct machine *m, const char *path, const char *data, size_t size);

int mount_operation(struct machine *m, uint16_t number, const struct arg *args);
int process_operation(struct machine *m, uint16_t number, const struct arg *args);
#endif
