import { existsSync } from "node:fs";
import { join } from "node:path";
import { log } from "../../base/log.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import type * as Runc from "../../runc/index.ts";
import type * as Vm from "../../vm/runtime.ts";
import { packStats } from "../stats.ts";
import type { OciRuntime, RuntimeChoice } from "../types.ts";
import { ownRuntime } from "./own.ts";

/** The name by which clients ask for a machine: `binary_name` of the options, as of other runtimes. */
export const vmRuntimeName = "vm";

let loading: Promise<typeof Vm> | undefined;
const load = () => {
  loading ??= import("../../vm/runtime.ts");
  return loading;
};
const runc = (): Promise<typeof Runc> => import("../../runc/index.ts");

/**
 * Each container in a small virtual machine. The machine's program is a container of our own runtime, so that cgroups, network, hooks,
 * signals, the freezer and the end of it all are that one's; what is the container's goes through the agent inside.
 */
export function vmRuntime(choice: RuntimeChoice, discard: (path: string) => void): OciRuntime {
  const outer = ownRuntime(choice, discard);
  const warn = (id: string) => (message: string) => log.warn(message, { container: id });
  const stateOf = async (id: string) => (await runc()).readState(choice.root, id);
  // What holds a pod's namespaces is no workload, and the pod's machine needs those namespaces outside.
  const holdsPod = (spec: Spec) => spec.annotations?.["io.kubernetes.cri.container-type"] === "sandbox";
  const inMachine = (bundle: string) => existsSync(join(bundle, "vm"));
  return {
    ...outer,
    async create({ id, bundle, spec, monitor }) {
      if (holdsPod(spec)) return outer.create({ id, bundle, spec, monitor });
      const machine = await (await load()).prepare(id, bundle, spec);
      // Kills in the guest are told by a file, which is written as it is in a cgroup (native/host.c).
      const oom = { version: 2 as const, path: join(bundle, "vm/vm") };
      return outer.create({ id, bundle, spec: machine, monitor: { ...monitor, oom } });
    },
    async start(id) {
      const { bundle, pid } = await stateOf(id);
      if (!inMachine(bundle)) return outer.start(id);
      await (await load()).startMachine({ id, bundle, pid, warn: warn(id) }, () => outer.start(id));
    },
    async exec({ id, bundle, process, monitor }) {
      if (!inMachine(bundle)) return outer.exec({ id, bundle, process, monitor });
      return (await load()).execInMachine({ id, bundle, process, warn: warn(id) }, (proxy) =>
        outer.exec({ id, bundle, process: proxy, monitor }),
      );
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
