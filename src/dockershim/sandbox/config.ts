import { NamespaceMode } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { type PodSandboxConfig, Protocol } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { oomScoreAdjustment } from "../../cri/spec/resources.ts";
import type { CreateContainerRequest, HostConfig } from "../../engine/types.ts";
import { apparmorOption, selinuxOptions, userOf } from "../container/security.ts";
import { containerNameLabel, dockerLabels, sandboxType, typeLabel } from "../labels.ts";
import { sandboxContainerName } from "../naming.ts";
import type { CheckpointData } from "../spew.ts";

/** A holder is to be the last that memory pressure ends. */
const oomScore = -998;
const cpuShares = 2;

const protocols = { [Protocol.TCP]: "tcp", [Protocol.UDP]: "udp", [Protocol.SCTP]: "sctp" } as const;
const protocolOf = (protocol: Protocol) => protocols[protocol] ?? "tcp";

/** What the container that holds a pod is to be. */
export function sandboxRequest(
  config: PodSandboxConfig,
  image: string,
  options: { runtime: string; networkPlugin: string; cgroupParent: string },
): CreateContainerRequest {
  const security = config.linux?.securityContext;
  const namespaces = security?.namespaceOptions;
  const hostNetwork = namespaces?.network === NamespaceMode.NODE;
  const labels = {
    ...dockerLabels(config.labels, config.annotations),
    [typeLabel]: sandboxType,
    [containerNameLabel]: sandboxContainerName,
  };
  const host: Partial<HostConfig> = {
    IpcMode: namespaces?.ipc === NamespaceMode.NODE ? "host" : "shareable",
    PidMode: namespaces?.pid === NamespaceMode.NODE ? "host" : "",
    NetworkMode: hostNetwork ? "host" : options.networkPlugin === "cni" ? "none" : "default",
    ReadonlyRootfs: security?.readonlyRootfs ?? false,
    GroupAdd: (security?.supplementalGroups ?? []).map(String),
    OomScoreAdj: oomScoreAdjustment(oomScore),
    CpuShares: cpuShares,
    CgroupParent: options.cgroupParent,
    Runtime: options.runtime,
    Sysctls: sysctlsOf(config),
    // The daemon's own seccomp profile, and no privileges: a holder needs none, also where its pod's containers have them.
    SecurityOpt: [
      ...selinuxOptions(security?.selinuxOptions),
      ...apparmorOption(security?.apparmor, "", false),
      "no-new-privileges",
    ],
  };
  // CNI's plugins see to host ports; with the daemon's network it does.
  const ports = options.networkPlugin === "cni" || hostNetwork ? [] : config.portMappings;
  const exposed = ports.filter(({ hostPort }) => hostPort > 0);
  const bindings: NonNullable<HostConfig["PortBindings"]> = {};
  for (const { hostPort, containerPort, hostIp, protocol } of exposed) {
    const key = `${containerPort}/${protocolOf(protocol)}`;
    bindings[key] = [...(bindings[key] ?? []), { HostIp: hostIp, HostPort: String(hostPort) }];
  }
  return {
    Image: image,
    Labels: labels,
    ...(config.hostname === "" || hostNetwork ? {} : { Hostname: config.hostname }),
    User: userOf(security, ""),
    ExposedPorts: Object.fromEntries(Object.keys(bindings).map((key) => [key, {}])),
    HostConfig: { ...host, PortBindings: bindings },
  };
}

const sysctlsOf = ({ linux }: PodSandboxConfig): Record<string, string> =>
  Object.fromEntries(
    Object.entries(linux?.sysctls ?? {}).map(([name, value]) => [name.replaceAll("/", "."), value]),
  );

/** What cri-dockerd wants to know of a pod whose container is gone. */
export const checkpointData = (config: PodSandboxConfig): CheckpointData => ({
  ...(config.portMappings.length > 0
    ? {
        port_mappings: config.portMappings.map(({ protocol, containerPort, hostPort, hostIp }) => ({
          protocol: protocolOf(protocol),
          container_port: containerPort,
          host_port: hostPort,
          ...(hostIp === "" ? {} : { host_ip: hostIp }),
        })),
      }
    : {}),
  ...(config.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE
    ? { host_network: true }
    : {}),
});
