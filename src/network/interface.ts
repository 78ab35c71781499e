import {
  addVeth,
  deleteLink,
  isMissingLink,
  linkIndex,
  listLinks,
  setLink,
  settleCarrier,
} from "../sys/netlink/link.ts";
import type { NetlinkRequest } from "../sys/netlink/message.ts";
import { addAddress, addRoute, listRoutes, replaceRoute } from "../sys/netlink/route.ts";
import type { NetlinkSocket } from "../sys/netlink/socket.ts";

/** What an interface in a container gets. */
export interface InterfaceSettings {
  mac: string;
  address: string;
  prefixLength: number;
  /** Default route; none on an internal network or where another network has it. */
  gateway: string | undefined;
}

/** The loopback interface is the first of every namespace. */
const LOOPBACK = 1;

export interface Veth {
  hostName: string;
  name: string;
  bridge: number;
  netns: number;
  mtu: number;
  /** The namespace's loopback is brought up too. */
  loopback?: boolean;
  /** Where they are known already: what `configureInside` would give the inner end. */
  settings?: InterfaceSettings;
}

/**
 * A veth pair with one end on the bridge and the other, both up, in the namespace `netns`. `inside` is a socket of that
 * namespace. Returns the index of the inner end. Two exchanges with the kernel.
 */
export function plugVeth(outside: NetlinkSocket, inside: NetlinkSocket, veth: Veth): number {
  const { hostName, name, bridge, netns, mtu, settings } = veth;
  // Where there is no IPv6 at all the request against its addresses fails, and is not needed.
  const [added, , ...host] = outside.attempt([
    addVeth(
      { name: hostName, master: bridge, mtu },
      { name, netns, mtu, ...(settings ? { mac: settings.mac } : {}) },
    ),
    setLink(hostName, { noIpv6LinkLocal: true }),
    // Where bridged packets pass the host's hooks (bridge-nf-call-iptables), a container that asks for its own
    // published port is answered within the bridge, back through the port it came from.
    setLink(hostName, { hairpin: true, up: true }),
  ]);
  if (added) throw added;
  try {
    for (const error of host) if (error) throw error;
    const index = linkIndex(inside, name);
    if (index === undefined) throw new Error(`interface ${name} vanished while it was set up`);
    const [, ...refused] = inside.attempt([
      setLink(name, { noIpv6LinkLocal: true }),
      setLink(name, { up: true }),
      ...(veth.loopback ? [setLink(LOOPBACK, { up: true })] : []),
      ...(settings ? addresses(index, settings) : []),
    ]);
    for (const error of refused) if (error) throw error;
    settleCarrier(outside, hostName);
    settleCarrier(inside, name);
    return index;
  } catch (error) {
    unplug(outside, hostName);
    throw error;
  }
}

/** Gives the inner end its addresses, in one exchange with the kernel. */
export function configureInside(inside: NetlinkSocket, index: number, settings: InterfaceSettings): void {
  inside.transact([setLink(index, { mac: settings.mac }), ...addresses(index, settings)]);
}

function addresses(link: number, { address, prefixLength, gateway }: InterfaceSettings): NetlinkRequest[] {
  return [addAddress({ link, address, prefixLength }), ...(gateway ? [addRoute({ gateway, link })] : [])];
}

/** The first of eth0, eth1, … that is free. */
export function freeInterfaceName(inside: NetlinkSocket): string {
  const names = new Set(listLinks(inside).map(({ name }) => name));
  for (let number = 0; ; number++) if (!names.has(`eth${number}`)) return `eth${number}`;
}

export function hasDefaultRoute(inside: NetlinkSocket): boolean {
  return listRoutes(inside).some(({ destination, gateway }) => !destination && gateway?.includes("."));
}

export function setDefaultRoute(inside: NetlinkSocket, gateway: string): void {
  inside.transact([replaceRoute({ gateway })]);
}

/** Removes a veth pair. The kernel waits for a grace period (some 15 ms) with the caller. */
export function unplug(host: NetlinkSocket, hostName: string): void {
  try {
    host.transact([deleteLink(hostName)]);
  } catch (error) {
    if (!isMissingLink(error)) throw error;
  }
}
