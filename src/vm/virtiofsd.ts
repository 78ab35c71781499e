import { existsSync } from "node:fs";
import { missing } from "./settings.ts";

/** Where distributions put the server of shared files: QEMU's own in C (Debian 12), and the one in Rust after it. */
const servers: readonly { path: string; argv: readonly string[] }[] = [
  {
    path: "/usr/libexec/virtiofsd",
    argv: [
      "--fd=3",
      "--shared-dir=/shared",
      "--sandbox=chroot",
      "--announce-submounts",
      "--xattr",
      "--rlimit-nofile=0",
    ],
  },
  {
    path: "/usr/lib/qemu/virtiofsd",
    argv: [
      ...["-f", "--fd=3", "--rlimit-nofile=0", "-o", "source=/shared", "-o", "sandbox=chroot"],
      ...["-o", "announce_submounts", "-o", "xattr", "-o", "log_level=warn", "-o", "cache=auto"],
    ],
  },
];

/** The command line of the server, whose descriptor 3 is the listening socket. */
export function findFileServer(): string[] {
  const found = servers.find(({ path }) => existsSync(path));
  if (!found) throw missing("virtiofsd is not installed (Debian 12: qemu-system-common; later: virtiofsd)");
  return [found.path, ...found.argv];
}
