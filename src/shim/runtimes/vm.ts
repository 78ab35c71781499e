import { existsSync } from "node:fs";
import { join } from "node:path";
import { isCode } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import type * as Runc from "../../runc/index.ts";
import type * as Vm from "../../vm/index.ts";
import { packStats } from "../stats.ts";
import type { MonitorPlace, OciRuntime, RuntimeChoice } from "../types.ts";
import { ownRuntime } from "./own.ts";

/** The name by which clients ask for a machine: `binary_name` of the options, as of other runtimes. */
export const vmRuntimeName = "vm";

let loading: Promise<typeof Vm> | undefined;
const load = () => {
  loading ??= import("../../vm/index.ts");
  return loading;
};
const runc = (): Promise<typeof Runc> => import("../../runc/index.ts");

/**
 * Each container in a small virtual machine, and the containers of a pod in one. The machine's program is a container of our own
 * runtime, so that cgroups, network, hooks, signals, the freezer and the end of it all are that one's; what is the
 * container's goes through the agent inside. Of a pod it is what holds it, and each container has one more outside, of its proxy.
 */
export function vmRuntime(choice: RuntimeChoice, discard: (path: string) => void): OciRuntime {
  const outer = ownRuntime(choice, discard);
  const { root } = choice;
  const warn = (id: string) => (message: string) => log.warn(message, { container: id });
  const stateOf = async (id: string) => (await runc()).readState(root, id);
  const inMachine = (bundle: string) => existsSync(join(bundle, "vm"));
  /** In the machine of its pod, which has the freezer then. */
  const ofPod = async (id: string) => {
    const { bundle } = await stateOf(id);
    return inMachine(bundle) && (await load()).isMember(bundle) ? bundle : undefined;
  };
  /** What holds the pod, where that is in a machine. */
  const podOf = async (spec: Spec): Promise<Vm.Pod | undefined> => {
    const id = (await load()).podOf(spec);
    if (id === undefined) return undefined;
    try {
      const { bundle, pid } = await stateOf(id);
      return inMachine(bundle) ? { id, bundle, pid } : undefined;
    } catch (error) {
      if (isCode(error, "not_found")) return undefined;
      throw error;
    }
  };
  // Kills in the guest are told by a file, which is written as it is in a cgroup (native/host.c).
  const watched = (monitor: MonitorPlace, bundle: string): MonitorPlace => ({
    ...monitor,
    oom: { version: 2, path: join(bundle, "vm/vm") },
  });
  return {
    ...outer,
    async create({ id, bundle, spec, monitor }) {
      const vm = await load();
      const pod = await podOf(spec);
      try {
        const outside = pod
          ? await vm.prepareMember(root, id, bundle, spec, pod)
          : await vm.prepare(root, id, bundle, spec);
        return await outer.create({ id, bundle, spec: outside, monitor: watched(monitor, bundle) });
      } catch (error) {
        if (pod) vm.unshareFiles(root, { pod: pod.id, id });
        else vm.removeMembers(root, id);
        throw error;
      }
    },
    async start(id) {
      const { bundle, pid } = await stateOf(id);
      if (!inMachine(bundle)) return outer.start(id);
      const vm = await load();
      const start = vm.isMember(bundle) ? vm.startMember : vm.startMachine;
      await start({ id, bundle, pid, warn: warn(id) }, () => outer.start(id));
    },
    async exec({ id, bundle, process, monitor }) {
      if (!inMachine(bundle)) return outer.exec({ id, bundle, process, monitor });
      return (await load()).execInMachine({ id, bundle, process, warn: warn(id) }, (proxy) =>
        outer.exec({ id, bundle, process: proxy, monitor }),
      );
    },
    async kill(id, signal, all) {
      const bundle = all && signal === 9 ? await ofPod(id).catch(() => undefined) : undefined;
      // Those that share the pod's PID namespace do not end with the first one.
      if (bundle !== undefined) await (await load()).tellCgroup(bundle, "cgroup.kill", "1").catch(() => {});
      await outer.kill(id, signal, all);
    },
    async remove(id, force) {
      const vm = await load();
      const state = await stateOf(id).catch(() => undefined);
      try {
        await outer.remove(id, force);
      } finally {
        if (state) {
          const pod = vm.podOf(state.spec);
          if (pod !== undefined && inMachine(state.bundle) && vm.isMember(state.bundle))
            await vm.releaseMember(root, id, state.bundle, pod);
        }
        vm.removeMembers(root, id);
      }
    },
    async pause(id) {
      const bundle = await ofPod(id);
      if (bundle === undefined) return outer.pause(id);
      await (await load()).tellCgroup(bundle, "cgroup.freeze", "1");
    },
    async resume(id) {
      const bundle = await ofPod(id);
      if (bundle === undefined) return outer.resume(id);
      await (await load()).tellCgroup(bundle, "cgroup.freeze", "0");
    },
    async isPaused(id) {
      const bundle = await ofPod(id);
      return bundle === undefined ? outer.isPaused(id) : (await load()).isFrozen(bundle);
    },
    async update(id, resources) {
      const { bundle } = await stateOf(id);
      if (!inMachine(bundle)) return outer.update(id, resources);
      await (await load()).updateMachine(bundle, resources, (changes) => outer.update(id, changes));
    },
    async stats(id, pid) {
      const { bundle } = await stateOf(id);
      if (!inMachine(bundle)) return outer.stats(id, pid);
      return packStats(await (await load()).machineStats(bundle), true);
    },
  };
}
