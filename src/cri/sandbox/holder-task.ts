import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import type { LinuxNamespace, Spec } from "../../oci/runtime-spec.ts";
import { runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import type { Sandbox } from "../records.ts";
import { cgroupsPathOf, oomScoreAdjustment } from "../spec/resources.ts";
import { publishEvent } from "./events.ts";
import { holderRoot } from "./holder.ts";

/** Below what containers get, so that the kernel takes the pod's own process last. */
const holderOomScore = -998;

/** Starts the task whose only process is PID 1 of the pod. */
export async function startHolder(context: Context, sandbox: Sandbox): Promise<void> {
  const { record, config } = sandbox;
  const { id } = record;
  const handler = runtimeNamed(context.config, record.runtimeHandler)!;
  const { net, ipc, uts } = record.namespaces;
  const namespaces: LinuxNamespace[] = [{ type: "mount" }, { type: "pid" }];
  if (net !== undefined) namespaces.push({ type: "network", path: net });
  if (ipc !== undefined) namespaces.push({ type: "ipc", path: ipc });
  if (uts !== undefined) namespaces.push({ type: "uts", path: uts });
  const spec: Spec = {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 65535, gid: 65535 },
      args: ["/pause"],
      env: ["PATH=/"],
      cwd: "/",
      capabilities: { bounding: [], effective: [], permitted: [] },
      noNewPrivileges: true,
      oomScoreAdj: oomScoreAdjustment(holderOomScore),
    },
    root: { path: holderRoot(context.config.state), readonly: true },
    mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] }],
    annotations: { "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": id },
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }], cpu: { shares: 2 } },
      cgroupsPath: cgroupsPathOf(config.linux?.cgroupParent ?? "", id, handler.systemdCgroup ?? false),
      namespaces,
    },
  };
  const pid = await context.engine.startHolder({
    id,
    labels: { ...config.labels, "io.cri-containerd.kind": "sandbox" },
    runtime: handler,
    spec,
  });
  if (pid === 0) throw new Error("the pod's process has no pid");
}

/** A holder that is killed takes all of the pod's processes with it: the pod is not ready any more. */
export function watchHolder(context: Context, sandbox: Sandbox): void {
  const { record } = sandbox;
  const ended = () =>
    context.locks.run(record.id, () => {
      if (record.state !== "ready" || context.closing.aborted) return;
      record.state = "notready";
      context.records.saveSandbox(sandbox);
      publishEvent(context, record.id, record.id, ContainerEventType.CONTAINER_STOPPED_EVENT);
    });
  void context.engine.wait(record.id).then((end) => (end ? ended() : undefined));
}
