import type { NetworkInspect } from "../../engine/types.ts";
import type { NetworkRecord } from "../../network/index.ts";
import type { Daemon } from "../daemon.ts";

/** A network as the API shows it; its containers only where asked for one network. */
export function view(daemon: Daemon, network: NetworkRecord, containers: boolean): NetworkInspect {
  const members: NonNullable<NetworkInspect["Containers"]> = {};
  if (containers)
    for (const endpoint of daemon.networks.endpoints(network.id))
      members[endpoint.containerId] = {
        Name: endpoint.containerName,
        EndpointID: endpoint.endpointId,
        MacAddress: endpoint.macAddress,
        IPv4Address: endpoint.ipAddress ? `${endpoint.ipAddress}/${endpoint.ipPrefixLen}` : "",
        IPv6Address: "",
      };
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: network.scope,
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: network.enableIPv6,
    IPAM: {
      Driver: network.ipam.driver,
      Options: network.ipam.options,
      Config: network.ipam.config.map(({ subnet, gateway, ipRange, auxiliary }) => ({
        Subnet: subnet,
        ...(ipRange === undefined ? {} : { IPRange: ipRange }),
        ...(gateway ? { Gateway: gateway } : {}),
        ...(auxiliary === undefined ? {} : { AuxiliaryAddresses: auxiliary }),
      })),
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: network.ingress,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: members,
    Options: network.options,
    Labels: network.labels,
  };
}
