import { join } from "node:path";
import { notFound } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { CrioParts } from "./context.ts";
import type { ConmonChoice, ProcessChoice } from "./processes/types.ts";

/** The runtime of a handler ("" is the default) and what watches its containers. */
export function choiceOf({ settings, config }: CrioParts, handler: string): ProcessChoice {
  const { runtime } = settings.crio;
  const name = handler || runtime.default_runtime;
  const table = runtime.runtimes[name];
  if (!table) throw notFound(`no runtime for ${JSON.stringify(name)} is configured any more`);
  const systemdCgroup = runtime.cgroup_manager === "systemd";
  const path = table.monitor_path || runtime.conmon;
  if (path !== "" && table.runtime_path === "")
    log.debug("our own runtime is watched by our own monitor", { runtime: name });
  const conmon: ConmonChoice | undefined =
    path === "" || table.runtime_path === ""
      ? undefined
      : {
          path,
          exitDir: runtime.container_exits_dir,
          socketDir: runtime.container_attach_socket_dir,
          env: [...runtime.conmon_env, ...table.monitor_env],
          logSizeMax: runtime.log_size_max,
          noSyncLog: table.no_sync_log,
          systemdCgroup,
        };
  return {
    runtime: {
      ...(table.runtime_path === "" ? {} : { binary: table.runtime_path }),
      root: table.runtime_root || join(config.state, "runtimes", name),
      systemdCgroup,
      noPivotRoot: runtime.no_pivot,
      noNewKeyring: false,
    },
    ...(conmon ? { conmon } : {}),
  };
}
