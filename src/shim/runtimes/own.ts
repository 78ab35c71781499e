import { CortenError, conflict, isCode, messageOf, notFound } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { monitorLauncher } from "../../monitor/index.ts";
import type * as Runc from "../../runc/index.ts";
import { packStats } from "../stats.ts";
import type { Launched, OciRuntime, RuntimeChoice } from "../types.ts";
import { oomWatch } from "./oom.ts";

/** The runtime is a library of this program: no process is started but the container's own and its monitor. */
let loading: Promise<typeof Runc> | undefined;
const load = () => {
  loading ??= import("../../runc/index.ts");
  return loading;
};

/** Our runc under our monitor. */
export function ownRuntime(choice: RuntimeChoice, discard: (path: string) => void): OciRuntime {
  const { root } = choice;
  const launched = (launcher: ReturnType<typeof monitorLauncher>, startTime = ""): Launched => {
    const { monitor } = launcher;
    if (!monitor) throw conflict("the runtime did not launch the process");
    return { pid: monitor.pid, monitor, startTime };
  };
  const warn = (id: string) => (message: string) => log.warn(message, { container: id });
  return {
    async create({ id, bundle, spec, monitor }) {
      const runc = await load();
      const oom = monitor.oom ?? (await oomWatch(spec, id, choice.systemdCgroup));
      const launcher = monitorLauncher({ ...monitor, ...(oom ? { oom } : {}) });
      let startTime: string;
      try {
        const state = await runc.create({
          root,
          id,
          bundle,
          spec,
          launcher,
          keepsBundle: true,
          noPivot: choice.noPivotRoot,
          noNewKeyring: choice.noNewKeyring,
          systemdCgroup: choice.systemdCgroup,
          warn: warn(id),
        });
        startTime = state.startTime;
      } catch (error) {
        launcher.monitor?.close();
        throw inRuncsWords("runc create failed", error);
      }
      return launched(launcher, startTime);
    },
    async start(id) {
      await (await load()).start(root, id);
    },
    async exec({ id, process, monitor }) {
      const runc = await load();
      const launcher = monitorLauncher(monitor);
      try {
        await runc.exec({ root, id, process, launcher, warn: warn(id) });
      } catch (error) {
        launcher.monitor?.close();
        throw inRuncsWords("exec failed", error);
      }
      return launched(launcher);
    },
    async kill(id, signal, all) {
      try {
        (await load()).kill(root, id, signal, { all });
      } catch (error) {
        // runc has one text for it, containerd's clients wait for another.
        if (isCode(error, "failed_precondition") || isCode(error, "not_found"))
          throw notFound("process already finished: not found", error);
        throw error;
      }
    },
    async remove(id, force) {
      await (await load()).remove(root, id, { force, discard });
    },
    async pause(id) {
      await (await load()).pause(root, id);
    },
    async resume(id) {
      await (await load()).resume(root, id);
    },
    async update(id, resources) {
      await (await load()).update(root, id, resources);
    },
    async status(id) {
      return (await load()).state(root, id).status;
    },
    async isPaused(id) {
      return (await load()).state(root, id).status === "paused";
    },
    async processes(id) {
      return (await load()).processes(root, id);
    },
    async stats(id) {
      return packStats((await load()).stats(root, id));
    },
    async checkpoint(request) {
      const { checkpointByCommand } = await import("./checkpoint.ts");
      const { ownCommand } = await import("./command.ts");
      await checkpointByCommand(ownCommand(), choice, request);
    },
    async restore(request) {
      const { restoreByCommand } = await import("./checkpoint.ts");
      const { ownCommand } = await import("./command.ts");
      const oom = request.monitor.oom ?? (await oomWatch(request.spec, request.id, choice.systemdCgroup));
      const monitor = { ...request.monitor, ...(oom ? { oom } : {}) };
      return restoreByCommand(ownCommand(), choice, { ...request, monitor });
    },
  };
}

/** What runc's command line puts before its errors; clients of containerd compare the whole. */
const inRuncsWords = (what: string, error: unknown) =>
  new CortenError("unknown", `${what}: ${messageOf(error)}`, { cause: error });
