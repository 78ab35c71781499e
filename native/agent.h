/* What the parts of corten-agent share: the program inside a virtual machine and its counterpart outside. */
#ifndef CORTEN_AGENT_H
#define CORTEN_AGENT_H
#include "base.h"

/* Requests on a channel, in frames as those of the monitor; docs/vm.md describes them. */
enum request {
	REQUEST_SPAWN = 32, REQUEST_READ, REQUEST_WRITE, REQUEST_MKDIR, REQUEST_NETLINK, REQUEST_SYNC,
	REQUEST_REMOVE,
	REQUEST_ANSWER = 64,
};

#define REQUEST_BYTES (6u << 20)
#define READ_BYTES (1u << 20)

/* mux.c: many byte streams over one. In the guest there is somebody to serve a new channel, and to hear of its client's leaving. */
struct mux_guest {
	pid_t (*opened)(int sock);
	void (*left)(pid_t pid);
};
int mux_run(int stream, int listener, const struct mux_guest *guest);

int read_exact(int fd, void *data, size_t size);
int frame_put(int fd, uint8_t type, const void *payload, size_t size);
int guest_main(void);
int guest_serve(int stream);
int host_main(char **argv);
int proxy_main(char **argv);
#endif
