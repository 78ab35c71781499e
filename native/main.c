/* One binary, two programs. It runs from a sealed memfd, so that no container can replace it. (CVE-2019-5736) */
#include "base.h"

int main(int argc, char **argv) {
	if (argc >= 2 && strcmp(argv[1], "init") == 0) return init_main(argc - 2, argv + 2);
	if (argc >= 2 && strcmp(argv[1], "monitor") == 0) return monitor_main(argc - 2, argv + 2);
	dprintf(2, "usage: corten-native init | monitor\n");
	return 125;
}
