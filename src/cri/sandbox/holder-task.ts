import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import type { LinuxNamespace, Spec } from "../../oci/runtime-spec.ts";
import { sharedLabel } from "../../oci/selinux.ts";
import { relabel } from "../../sys/relabel.ts";
import { runsInMachine, runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import type { Sandbox } from "../records.ts";
import { passedAnnotations } from "../spec/annotations.ts";
import { cgroupsPathOf, oomScoreAdjustment, resourcesOf } from "../spec/resources.ts";
import { publishEvent } from "./events.ts";
import { holderRoot } from "./holder.ts";
import type { IdMappings } from "./user-namespace.ts";

/** Below what containers get, so that the kernel takes the pod's own process last. */
const holderOomScore = -998;

/** Starts the task whose only process is PID 1 of the pod; with `mappings` it makes the pod's namespaces as well. Gives its pid. */
export async function startHolder(
  context: Context,
  sandbox: Sandbox,
  mappings: IdMappings | undefined,
): Promise<number> {
  const { record, config } = sandbox;
  const { id } = record;
  const handler = runtimeNamed(context.config, record.runtimeHandler)!;
  const { net, ipc, uts } = record.namespaces;
  const namespaces: LinuxNamespace[] = [{ type: "mount" }, { type: "pid" }];
  const joined = (path: string) => (mappings ? {} : { path });
  if (mappings) namespaces.push({ type: "user" });
  if (net !== undefined) namespaces.push({ type: "network", ...joined(net) });
  if (ipc !== undefined) namespaces.push({ type: "ipc", ...joined(ipc) });
  if (uts !== undefined) namespaces.push({ type: "uts", ...joined(uts) });
  const root = holderRoot(context.config.state);
  // All pods have the same one.
  await relabel(root, sharedLabel(record.mountLabel ?? ""));
  const spec: Spec = {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 65535, gid: 65535 },
      args: ["/pause"],
      env: ["PATH=/"],
      cwd: "/",
      capabilities: { bounding: [], effective: [], permitted: [] },
      noNewPrivileges: true,
      ...(record.processLabel && !config.linux?.securityContext?.privileged
        ? { selinuxLabel: record.processLabel }
        : {}),
      oomScoreAdj: oomScoreAdjustment(holderOomScore),
    },
    root: { path: root, readonly: true },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      // The runtime's default devices have their places made by the pod's root, to whom the holder's files do not belong.
      ...(mappings
        ? [
            {
              destination: "/dev",
              type: "tmpfs",
              source: "tmpfs",
              options: ["nosuid", "mode=755", "size=64k"],
            },
          ]
        : []),
    ],
    annotations: {
      ...passedAnnotations(config.annotations, handler.podAnnotations),
      "io.kubernetes.cri.container-type": "sandbox",
      "io.kubernetes.cri.sandbox-id": id,
    },
    linux: {
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        // A machine is as large as its pod.
        ...(runsInMachine(handler) ? resourcesOf(config.linux?.resources) : { cpu: { shares: 2 } }),
      },
      cgroupsPath: cgroupsPathOf(config.linux?.cgroupParent ?? "", id, handler.systemdCgroup ?? false),
      namespaces,
      ...(record.mountLabel ? { mountLabel: record.mountLabel } : {}),
      ...(mappings ? { uidMappings: mappings.uids, gidMappings: mappings.gids } : {}),
    },
  };
  const pid = await context.engine.startHolder({
    id,
    labels: { ...config.labels, "io.cri-containerd.kind": "sandbox" },
    runtime: handler,
    spec,
  });
  if (pid === 0) throw new Error("the pod's process has no pid");
  return pid;
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
