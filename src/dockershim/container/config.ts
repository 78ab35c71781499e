import { join } from "node:path";
import { NamespaceMode, Signal } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { ContainerConfig } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { unimplemented } from "../../base/errors.ts";
import { oomScoreAdjustment } from "../../cri/spec/resources.ts";
import type { CreateContainerRequest, HostConfig, Mount } from "../../engine/types.ts";
import { containerType, dockerLabels, logPathLabel, sandboxIdLabel, typeLabel } from "../labels.ts";
import { resourcesOf } from "./resources.ts";
import { apparmorOption, seccompOption, selinuxOptions, userOf } from "./security.ts";

export interface ContainerSettings {
  sandboxId: string;
  /** The daemon's runtime of the pod. */
  runtime: string;
  cgroupParent: string;
  /** The user of the image. */
  imageUser: string;
  mounts: Mount[];
  /** Container whose PID namespace is entered with TARGET. */
  targetId: string;
}

/** What the daemon is to make of a container of a pod. */
export function containerRequest(
  config: ContainerConfig,
  pod: PodSandboxConfig,
  settings: ContainerSettings,
): CreateContainerRequest {
  const { linux } = config;
  const security = linux?.securityContext;
  const namespaces = security?.namespaceOptions;
  if (namespaces?.usernsOptions?.mode === NamespaceMode.POD)
    throw unimplemented("user namespaces of pods are not there with the Engine API");
  const ofPod = `container:${settings.sandboxId}`;
  const privileged = security?.privileged ?? false;
  const host: Partial<HostConfig> = {
    ...resourcesOf(linux?.resources),
    OomScoreAdj: oomScoreAdjustment(Number(linux?.resources?.oomScoreAdj ?? 0n)),
    CgroupParent: settings.cgroupParent,
    Runtime: settings.runtime,
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    Mounts: settings.mounts,
    NetworkMode: ofPod,
    // A pod on the host's network has the host's name.
    UTSMode: namespaces?.network === NamespaceMode.NODE ? "host" : "",
    IpcMode: namespaces?.ipc === NamespaceMode.NODE ? "host" : ofPod,
    PidMode: pidModeOf(namespaces?.pid, ofPod, settings.targetId),
    Privileged: privileged,
    ReadonlyRootfs: security?.readonlyRootfs ?? false,
    CapAdd: security?.capabilities?.addCapabilities ?? [],
    CapDrop: security?.capabilities?.dropCapabilities ?? [],
    GroupAdd: (security?.supplementalGroups ?? []).map(String),
    // Without a list the daemon has one of its own: CRI's says what is to be masked, and nothing else is.
    ...(privileged
      ? {}
      : { MaskedPaths: security?.maskedPaths ?? [], ReadonlyPaths: security?.readonlyPaths ?? [] }),
    Devices: config.devices.map(({ hostPath, containerPath, permissions }) => ({
      PathOnHost: hostPath,
      PathInContainer: containerPath,
      CgroupPermissions: permissions || "rwm",
    })),
    ...(config.CDIDevices.length > 0
      ? {
          DeviceRequests: config.CDIDevices.map(({ name }) => ({
            Driver: "cdi",
            Count: 0,
            DeviceIDs: [name],
            Capabilities: null,
            Options: null,
          })),
        }
      : {}),
    SecurityOpt: [
      ...selinuxOptions(security?.selinuxOptions),
      ...apparmorOption(security?.apparmor, security?.apparmorProfile ?? "", privileged),
      ...(security?.noNewPrivs ? ["no-new-privileges"] : []),
      ...seccompOption(security?.seccomp, security?.seccompProfilePath ?? "", privileged),
    ],
  };
  const decoder = new TextDecoder();
  return {
    Image: config.image?.image ?? "",
    Labels: {
      ...dockerLabels(config.labels, config.annotations),
      [typeLabel]: containerType,
      [logPathLabel]: logPathOf(config, pod),
      [sandboxIdLabel]: settings.sandboxId,
    },
    ...(config.command.length > 0 ? { Entrypoint: config.command } : {}),
    ...(config.args.length > 0 ? { Cmd: config.args } : {}),
    Env: config.envs.map(({ key, value }) => `${key}=${decoder.decode(value)}`),
    WorkingDir: config.workingDir,
    User: userOf(security, settings.imageUser),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    // Probes are kubelet's.
    Healthcheck: { Test: ["NONE"] },
    ...(config.stopSignal === Signal.RUNTIME_DEFAULT ? {} : { StopSignal: signalName(config.stopSignal) }),
    HostConfig: host,
  };
}

export const logPathOf = (config: ContainerConfig, pod: PodSandboxConfig): string =>
  config.logPath === "" || pod.logDirectory === "" ? "" : join(pod.logDirectory, config.logPath);

function pidModeOf(mode: NamespaceMode | undefined, ofPod: string, targetId: string): string {
  switch (mode ?? NamespaceMode.POD) {
    case NamespaceMode.NODE:
      return "host";
    case NamespaceMode.CONTAINER:
      return "";
    case NamespaceMode.TARGET:
      return `container:${targetId}`;
    default:
      return ofPod;
  }
}

/** CRI's names of real-time signals have words for the signs. */
export const signalName = (signal: Signal): string =>
  (Signal[signal] ?? "SIGTERM").replace("PLUS", "+").replace("MINUS", "-");
