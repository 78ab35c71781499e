/** A pod's network: CNI's plugins in the network namespace of the container that holds the pod. */
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { CortenError, messageOf } from "../../base/errors.ts";
import { addressesOf } from "../../cri/cni/cni.ts";
import { podNetworkRequest } from "../../cri/cni/request.ts";
import type { PortMappingEntry } from "../../cri/cni/types.ts";
import type { ContainerInspect } from "../../engine/types.ts";
import { listLinks } from "../../sys/netlink/link.ts";
import { listAddresses } from "../../sys/netlink/route.ts";
import { NETLINK_ROUTE } from "../../sys/netlink/socket.ts";
import { openNetlinkIn } from "../../sys/netns.ts";
import type { Checkpoint, OwnPart } from "../checkpoints.ts";
import type { Context } from "../context.ts";

/** Why no pod can be given a network now. */
export function networkProblem({
  cni,
  options,
  podCidr,
}: Context): { message: string; detail: string } | undefined {
  if (options.networkPlugin !== "cni") return undefined;
  const { network } = cni;
  if (!network)
    return { message: "cni plugin not initialized: cni config uninitialized", detail: cni.problem };
  const wantsRanges = network.plugins.some(({ capabilities }) => capabilities?.["ipRanges"] === true);
  if (!wantsRanges || podCidr !== "") return undefined;
  const message = "cni config needs ipRanges but no PodCIDR set";
  return { message, detail: message };
}

export const netnsOf = ({ State }: ContainerInspect): string =>
  State.Running && State.Pid > 0 ? `/proc/${State.Pid}/ns/net` : "";

/** Adds a pod that has just been started. On record before the plugins are called. */
export async function addToNetwork(
  context: Context,
  id: string,
  checkpoint: Checkpoint & { own: OwnPart },
  config: PodSandboxConfig,
  netns: string,
): Promise<void> {
  const { own } = checkpoint;
  try {
    const problem = networkProblem(context);
    if (problem) throw new CortenError("unknown", problem.message);
    const request = podNetworkRequest(config, id);
    if (context.podCidr !== "")
      request.runtimeConfig["ipRanges"] = context.podCidr.split(",").map((subnet) => [{ subnet }]);
    own.network = context.cni.plan(request);
    context.checkpoints.save(id, checkpoint);
    await context.cni.add(own.network, id, netns);
  } catch (error) {
    throw new CortenError(
      "unknown",
      `failed to set up sandbox container ${JSON.stringify(id)} network for pod ${JSON.stringify(checkpoint.name)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  own.ips = addressesOf(own.network.result);
  if (own.ips.length === 0)
    throw new CortenError("unknown", `the network gave pod ${JSON.stringify(checkpoint.name)} no address`);
}

/**
 * Takes a pod off its network. `netns` is empty when it is gone. What cri-dockerd wrote says nothing of the network: it is
 * then the one that is configured now, as it is with cri-dockerd.
 */
export async function removeFromNetwork(
  context: Context,
  id: string,
  checkpoint: Checkpoint,
  netns: string,
): Promise<void> {
  const { own, data } = checkpoint;
  if (context.options.networkPlugin !== "cni" && !own?.network) return;
  if (data.host_network || own?.state === "released") return;
  let added = own?.network;
  if (!own && context.cni.network)
    added = context.cni.plan({
      args: {
        IgnoreUnknown: "1",
        K8S_POD_NAMESPACE: checkpoint.namespace,
        K8S_POD_NAME: checkpoint.name,
        K8S_POD_INFRA_CONTAINER_ID: id,
      },
      runtimeConfig: { portMappings: (data.port_mappings ?? []).map(mappingOf) },
    });
  if (added) await context.cni.remove(added, id, netns);
}

const mappingOf = (port: NonNullable<Checkpoint["data"]["port_mappings"]>[number]): PortMappingEntry => ({
  hostPort: port.host_port ?? 0,
  containerPort: port.container_port ?? 0,
  protocol: (port.protocol ?? "tcp") as PortMappingEntry["protocol"],
  hostIP: port.host_ip ?? "",
});

/** The pod's addresses: as recorded, or the daemon's, or else what is on its eth0. */
export function addressesIn(
  { options }: Context,
  sandbox: ContainerInspect,
  checkpoint: Checkpoint | undefined,
): string[] {
  if (checkpoint?.own?.network) return checkpoint.own.ips;
  if (sandbox.HostConfig.NetworkMode === "host") return [];
  const { IPAddress, GlobalIPv6Address } = sandbox.NetworkSettings;
  const daemons = [IPAddress, GlobalIPv6Address].filter((address) => address !== "");
  if (options.networkPlugin !== "cni" || daemons.length > 0) return daemons;
  const netns = netnsOf(sandbox);
  if (netns === "") return [];
  try {
    const socket = openNetlinkIn(netns, NETLINK_ROUTE);
    try {
      const eth0 = listLinks(socket).find(({ name }) => name === "eth0");
      const found = listAddresses(socket).filter(
        ({ link, address }) => link === eth0?.index && !address.startsWith("fe80:"),
      );
      return found.map(({ address }) => address);
    } finally {
      socket.close();
    }
  } catch {
    // It ended while we looked.
    return [];
  }
}
