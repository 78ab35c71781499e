import { join } from "node:path";
import type { Context } from "../context.ts";

/** A pod's files on the host. */
export function filesOf({ config }: Pick<Context, "config">, id: string) {
  const dir = join(config.root, "sandboxes", id);
  return {
    dir,
    hostname: join(dir, "hostname"),
    hosts: join(dir, "hosts"),
    resolvConf: join(dir, "resolv.conf"),
    /** Gone after a reboot, like all shared memory. */
    runtimeDir: join(config.state, "sandboxes", id),
    shm: join(config.state, "sandboxes", id, "shm"),
    /** Directories and files of the node as the users of a pod with a user namespace see them. */
    mapped: join(config.state, "sandboxes", id, "mapped"),
  };
}
