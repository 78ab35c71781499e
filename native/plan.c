/*
 * The plan decoder. Its input comes from our own launcher through a memfd, but it is read as if it did not:
 * every length is checked before use, and a plan with any fault is refused before its first operation runs.
 */
#define CORTEN_OPS_TABLE
#include "plan.h"

#define HEADER_BYTES 32

static uint32_t u32_at(const unsigned char *p) {
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static const struct op_desc *find_desc(uint16_t number) {
	for (size_t i = 0; i < sizeof op_table / sizeof *op_table; i++)
		if (op_table[i].number == number) return &op_table[i];
	return NULL;
}

/* A counted string, the NUL after it, padding to four bytes. */
static int read_blob(const unsigned char **p, const unsigned char *end, struct arg *out) {
	if (end - *p < 4) return -EBADMSG;
	uint32_t n = u32_at(*p);
	*p += 4;
	if (n > MAX_PLAN_BYTES) return -EBADMSG;
	size_t padded = ((size_t)n + 4) & ~(size_t)3;
	if ((size_t)(end - *p) < padded || (*p)[n] != 0) return -EBADMSG;
	out->s = (const char *)*p;
	out->n = n;
	*p += padded;
	return 0;
}

static int read_text(const unsigned char **p, const unsigned char *end, struct arg *out) {
	int r = read_blob(p, end, out);
	return r < 0 ? r : memchr(out->s, 0, out->n) ? -EBADMSG : 0;
}

static int read_field(char type, const unsigned char **p, const unsigned char *end, struct arg *out) {
	*out = (struct arg){0};
	switch (type) {
	case 's':
		return read_text(p, end, out);
	case 'b':
		return read_blob(p, end, out);
	case 'U':
	case 'I':
		if (end - *p < 8) return -EBADMSG;
		memcpy(&out->u, *p, 8);
		*p += 8;
		return 0;
	default:
		break;
	}
	if (end - *p < 4) return -EBADMSG;
	out->u = u32_at(*p);
	*p += 4;
	if (type == 'i') out->u = (uint64_t)(int64_t)(int32_t)out->u;
	if ((type == 'f' || type == 'F' || type == 'o') && out->u >= MAX_SLOTS && (out->u != NONE || type != 'f'))
		return -EBADMSG;
	if (type == 'v') {
		if (out->u > (uint64_t)(end - *p) / 4) return -EBADMSG;
		out->n = (uint32_t)out->u;
		out->s = (const char *)*p;
		struct arg item = {0};
		for (uint32_t i = 0; i < out->n; i++) TRY(read_text(p, end, &item));
	}
	return 0;
}

int plan_args(const struct step *step, struct arg args[MAX_FIELDS]) {
	const unsigned char *p = step->fields;
	for (size_t i = 0; step->desc->fields[i]; i++) TRY(read_field(step->desc->fields[i], &p, step->end, &args[i]));
	return p == step->end ? 0 : -EBADMSG;
}

char **arg_vector(const struct arg *list) {
	char **vector = calloc((size_t)list->n + 1, sizeof *vector);
	const unsigned char *p = (const unsigned char *)list->s;
	for (uint32_t i = 0; vector && i < list->n; i++) {
		uint32_t n = u32_at(p);
		vector[i] = (char *)p + 4;
		p += 4 + (((size_t)n + 4) & ~(size_t)3);
	}
	return vector;
}

/* The order of roles: stage operations, the one clone, then parent and child in turn, child only after the gate. */
static int check_order(const struct plan *plan) {
	bool cloned = false, gated = false;
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct step *s = &plan->steps[i];
		if ((s->role == ROLE_STAGE) == cloned || (gated && s->role != ROLE_CHILD)) return -EBADMSG;
		if (s->desc->number == OP_CLONE) cloned = true;
		if (s->desc->number == OP_GATE) gated = true;
		if ((s->desc->number == OP_EXEC) != (i + 1 == plan->count)) return -EBADMSG;
	}
	return cloned ? 0 : -EBADMSG;
}

int plan_decode(struct plan *plan, const void *bytes, size_t size, bool monitor) {
	const unsigned char *p = bytes, *end = p + size;
	*plan = (struct plan){0};
	if (size < HEADER_BYTES || size > MAX_PLAN_BYTES || memcmp(p, PLAN_MAGIC, 8) != 0) return -EBADMSG;
	if (u32_at(p + 8) != PLAN_VERSION) return -EPROTONOSUPPORT;
	plan->count = u32_at(p + 16);
	plan->fds = u32_at(p + 20);
	plan->flags = u32_at(p + 24);
	if (u32_at(p + 12) != size || plan->count == 0 || plan->count > MAX_STEPS || plan->fds > MAX_SLOTS)
		return -EBADMSG;
	plan->steps = calloc(plan->count, sizeof *plan->steps);
	if (!plan->steps) return -ENOMEM;
	p += HEADER_BYTES;
	for (uint32_t i = 0; i < plan->count; i++) {
		struct step *s = &plan->steps[i];
		struct arg args[MAX_FIELDS];
		if (end - p < 8) return -EBADMSG;
		uint32_t length = u32_at(p), head = u32_at(p + 4);
		if (length < 8 || length % 4 != 0 || length > (size_t)(end - p)) return -EBADMSG;
		s->desc = find_desc((uint16_t)head);
		s->role = (uint8_t)(head >> 16);
		s->flags = (uint8_t)(head >> 24);
		s->fields = p + 8;
		s->end = p + length;
		if (!s->desc || (s->role & (s->role - 1)) != 0 || (s->desc->roles & s->role) == 0 ||
		    (s->role == ROLE_MONITOR) != monitor || (s->flags & ~FLAG_TOLERANT) != 0 || plan_args(s, args) < 0)
			return -EBADMSG;
		p += length;
	}
	if (p != end) return -EBADMSG;
	return monitor ? 0 : check_order(plan);
}

void plan_free(struct plan *plan) {
	free(plan->steps);
	*plan = (struct plan){0};
}

int map_file(int fd, size_t limit, bool writable, void **bytes, size_t *size) {
	struct stat st;
	if (fstat(fd, &st) < 0) return -errno;
	if (st.st_size <= 0 || (uint64_t)st.st_size > limit) return -EBADMSG;
	*size = (size_t)st.st_size;
	*bytes = writable ? mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			  : mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	return *bytes == MAP_FAILED ? -errno : 0;
}
