import { type PodSandboxConfig, Protocol } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { invalid } from "../../base/errors.ts";
import type { PodNetworkRequest } from "./cni.ts";
import type { PortMappingEntry } from "./types.ts";

const protocols = { [Protocol.TCP]: "tcp", [Protocol.UDP]: "udp", [Protocol.SCTP]: "sctp" } as const;

/** What a pod's configuration asks of the network, in the words plugins know. */
export function podNetworkRequest(config: PodSandboxConfig, id: string): PodNetworkRequest {
  const { metadata } = config;
  const portMappings: PortMappingEntry[] = config.portMappings
    .filter((mapping) => mapping.hostPort > 0)
    .map((mapping) => ({
      hostPort: mapping.hostPort,
      containerPort: mapping.containerPort,
      protocol: protocols[mapping.protocol] ?? "tcp",
      hostIP: mapping.hostIp,
    }));
  return {
    args: {
      IgnoreUnknown: "1",
      K8S_POD_NAMESPACE: metadata?.namespace ?? "",
      K8S_POD_NAME: metadata?.name ?? "",
      K8S_POD_INFRA_CONTAINER_ID: id,
      K8S_POD_UID: metadata?.uid ?? "",
    },
    runtimeConfig: {
      ...(portMappings.length > 0 ? { portMappings } : {}),
      ...bandwidthOf(config.annotations),
      ...(config.dnsConfig
        ? {
            dns: {
              servers: config.dnsConfig.servers,
              searches: config.dnsConfig.searches,
              options: config.dnsConfig.options,
            },
          }
        : {}),
      ...(config.linux?.cgroupParent ? { cgroupPath: config.linux.cgroupParent } : {}),
      "io.kubernetes.cri.pod-annotations": config.annotations,
    },
  };
}

const quantities: Record<string, number> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Kubernetes' annotations for the bandwidth plugin, in bits per second. */
function bandwidthOf(annotations: Record<string, string>): Record<string, unknown> {
  const rate = (name: string) => {
    const text = annotations[`kubernetes.io/${name}-bandwidth`];
    if (text === undefined) return undefined;
    const match = /^(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)$/.exec(text);
    if (!match) throw invalid(`cannot parse ${name} bandwidth ${JSON.stringify(text)}`);
    return Math.floor(Number(match[1]) * quantities[match[2]!]!);
  };
  const ingress = rate("ingress");
  const egress = rate("egress");
  if (ingress === undefined && egress === undefined) return {};
  return {
    bandwidth: {
      ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: 2 ** 31 - 1 }),
      ...(egress === undefined ? {} : { egressRate: egress, egressBurst: 2 ** 31 - 1 }),
    },
  };
}
