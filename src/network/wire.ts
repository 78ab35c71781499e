import { closeSync, openSync } from "node:fs";
import type { NetlinkSocket } from "../sys/netlink/socket.ts";
import { configureInside, freeInterfaceName, hasDefaultRoute, unplug } from "./interface.ts";
import { discard, openInside, type Prepared, removePreparedLink } from "./sandbox.ts";
import type { Endpoint } from "./types.ts";

/** How an endpoint comes to its interface. */
export interface Wiring {
  /** The prepared veth of its sandbox, if that has one; consumed here. */
  prepared: Prepared | undefined;
  onDefaultBridge: boolean;
  /** Makes a veth on the network's bridge. */
  plug(inside: NetlinkSocket, netns: number, name: string): { hostInterface: string; index: number };
}

/** Gives an endpoint its interface, and notes the names of both ends in it. */
export function wire(host: NetlinkSocket, endpoint: Endpoint, wiring: Wiring): void {
  const { prepared, onDefaultBridge } = wiring;
  if (prepared) {
    try {
      if (onDefaultBridge) {
        endpoint.interfaceName = "eth0";
        configure(host, prepared.inside, prepared.index, prepared.hostInterface, endpoint, true);
        return;
      }
      removePreparedLink(prepared);
    } finally {
      discard(prepared);
    }
  }
  using inside = openInside(endpoint.sandboxKey);
  const netns = openSync(endpoint.sandboxKey, "r");
  try {
    endpoint.interfaceName = freeInterfaceName(inside);
    const { hostInterface, index } = wiring.plug(inside, netns, endpoint.interfaceName);
    // The first network with a way out is the container's way out.
    configure(host, inside, index, hostInterface, endpoint, !hasDefaultRoute(inside));
  } finally {
    closeSync(netns);
  }
}

function configure(
  host: NetlinkSocket,
  inside: NetlinkSocket,
  index: number,
  hostInterface: string,
  endpoint: Endpoint,
  routed: boolean,
): void {
  endpoint.hostInterface = hostInterface;
  try {
    configureInside(inside, index, {
      mac: endpoint.macAddress,
      address: endpoint.ipAddress,
      prefixLength: endpoint.ipPrefixLen,
      gateway: (routed && endpoint.gateway) || undefined,
    });
  } catch (error) {
    unplug(host, hostInterface);
    throw error;
  }
}
