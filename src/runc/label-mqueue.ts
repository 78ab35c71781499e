/** The label of a container's message queues: mqueue takes none when it is mounted, and its root is labelled like a file. */
import { closeSync } from "node:fs";
import type { Spec } from "../oci/runtime-spec.ts";
import { SyscallError, syscall } from "../sys/libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../sys/open.ts";
import { openInRoot } from "../sys/rootfs/index.ts";
import { AT_FDCWD } from "../sys/stat.ts";
import { trySetXattrAt } from "../sys/xattr.ts";
import { mqueuesToLabel } from "./compile/mounts.ts";

const EOPNOTSUPP = 95;

/** Done from outside, by the descriptor of what is mounted: `pid` has not entered its root yet. */
export function labelMqueues(spec: Spec, rootfs: string, pid: number): void {
  const value = Buffer.from(spec.linux?.mountLabel ?? "");
  const root = syscall(
    "openat",
    [AT_FDCWD, `/proc/${pid}/root/${rootfs}`, O_PATH | O_DIRECTORY | O_CLOEXEC],
    rootfs,
  );
  try {
    for (const path of mqueuesToLabel(spec)) {
      const fd = openInRoot(root, path, O_PATH | O_DIRECTORY);
      if (fd < 0) throw new SyscallError("open", -fd, path);
      try {
        const result = -trySetXattrAt(fd, ".", "security.selinux", value);
        if (result !== 0 && result !== EOPNOTSUPP)
          throw new SyscallError("setxattr", result, `security.selinux of ${path}`);
      } finally {
        closeSync(fd);
      }
    }
  } finally {
    closeSync(root);
  }
}
