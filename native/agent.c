/*
 * One binary, three programs: `/init` of a virtual machine; outside of it `host`, the process that stands for a container
 * and owns its machine, and `proxy`, the one that stands for an exec'ed process.
 */
#include "agent.h"

int read_exact(int fd, void *data, size_t size) {
	for (char *p = data; size > 0;) {
		ssize_t n = read(fd, p, size);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return n < 0 ? -errno : -ECONNRESET;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int frame_put(int fd, uint8_t type, const void *payload, size_t size) {
	struct frame f = {.length = (uint32_t)size, .type = type};
	TRY(write_all(fd, &f, sizeof f));
	return write_all(fd, payload, size);
}

int main(int argc, char **argv) {
	if (argc == 1 && getpid() == 1) return guest_main();
	if (argc == 5 && strcmp(argv[1], "host") == 0) return host_main(argv + 2);
	if (argc == 5 && strcmp(argv[1], "proxy") == 0) return proxy_main(argv + 2);
	/* The two ends of the stream alone, at descriptor 3: for tests. */
	if (argc == 3 && strcmp(argv[1], "carry") == 0) return mux_run(3, listen_unix(argv[2]), NULL) < 0;
	if (argc == 2 && strcmp(argv[1], "serve") == 0) return guest_serve(3) < 0;
	dprintf(2, "corten-agent is started by corten, not by hand\n");
	return 125;
}
