import { closeSync, openSync } from "node:fs";
import type { NetlinkSocket } from "../sys/netlink/socket.ts";
import {
  configureInside,
  freeInterfaceName,
  hasDefaultRoute,
  type InterfaceSettings,
  unplug,
} from "./interface.ts";
import { discard, openInside, type Prepared, type PreparedLink, removePreparedLink } from "./sandbox.ts";
import type { Endpoint } from "./types.ts";

/** How an endpoint comes to its interface. */
export interface Wiring {
  /** The prepared veth of its sandbox, if that has one; consumed here. */
  prepared: Prepared | undefined;
  onDefaultBridge: boolean;
  /** Makes a veth on the network's bridge; with `settings` it is ready for use, and so is the loopback. */
  plug(inside: NetlinkSocket, netns: number, name: string, settings?: InterfaceSettings): PreparedLink;
}

/** Gives an endpoint its interface, and notes the names of both ends in it. */
export function wire(host: NetlinkSocket, endpoint: Endpoint, wiring: Wiring): void {
  const { prepared, onDefaultBridge } = wiring;
  if (prepared) {
    try {
      if (onDefaultBridge) {
        endpoint.interfaceName = "eth0";
        const { inside, netns, link } = prepared;
        if (link) configure(host, inside, link, endpoint, true);
        else
          endpoint.hostInterface = wiring.plug(
            inside,
            netns,
            "eth0",
            settingsOf(endpoint, true),
          ).hostInterface;
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
    const link = wiring.plug(inside, netns, endpoint.interfaceName);
    // The first network with a way out is the container's way out.
    configure(host, inside, link, endpoint, !hasDefaultRoute(inside));
  } finally {
    closeSync(netns);
  }
}

const settingsOf = (endpoint: Endpoint, routed: boolean): InterfaceSettings => ({
  mac: endpoint.macAddress,
  address: endpoint.ipAddress,
  prefixLength: endpoint.ipPrefixLen,
  gateway: (routed && endpoint.gateway) || undefined,
});

function configure(
  host: NetlinkSocket,
  inside: NetlinkSocket,
  { hostInterface, index }: PreparedLink,
  endpoint: Endpoint,
  routed: boolean,
): void {
  endpoint.hostInterface = hostInterface;
  try {
    configureInside(inside, index, settingsOf(endpoint, routed));
  } catch (error) {
    unplug(host, hostInterface);
    throw error;
  }
}
