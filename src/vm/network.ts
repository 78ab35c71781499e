import { closeSync, openSync } from "node:fs";
import { unimplemented } from "../base/errors.ts";
import { syscall } from "../sys/libc.ts";
import { deleteLink, type Link, linkIndex, listLinks, setLink } from "../sys/netlink/link.ts";
import { MessageWriter, type NetlinkRequest, NLM_F_REQUEST } from "../sys/netlink/message.ts";
import { addAddress, listAddresses, listRoutes, replaceRoute } from "../sys/netlink/route.ts";
import { NETLINK_ROUTE, type NetlinkSocket } from "../sys/netlink/socket.ts";
import { openNetlinkIn, withNetns } from "../sys/netns.ts";
import type { MachineNetwork } from "./machine.ts";
import { addIngress, redirect, removeIngress } from "./traffic.ts";

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const tapName = /^vm\d+$/;
/** RFC 2863: a tap whose machine has ended. */
const IF_OPER_DOWN = 2;
/** The index of the loopback interface, here and in the guest; the guest's others follow it. */
const LOOPBACK = 1;
/** Kernels make these in every network namespace as soon as their modules are there. */
const unused = new Set([
  "tunl0",
  "gre0",
  "gretap0",
  "erspan0",
  "ip_vti0",
  "ip6_vti0",
  "sit0",
  "ip6tnl0",
  "ip6gre0",
]);

export interface AttachedNetwork {
  networks: MachineNetwork[];
  /** What the guest is to be told: addresses and routes, as messages of rtnetlink. */
  messages: Uint8Array;
}

/**
 * Gives a machine the interfaces of a network namespace: beside each a tap, and whatever comes in at one goes out at the
 * other. The namespace stays as its maker left it, with its addresses, which only the guest answers for from now on.
 */
export function attachNetwork(netns: string, user: number): AttachedNetwork {
  using socket = openNetlinkIn(netns, NETLINK_ROUTE);
  const all = listLinks(socket).filter(({ index, name }) => index !== LOOPBACK && !unused.has(name));
  const taps = new Map(all.flatMap((link) => (tapName.test(link.name) ? [[link.name, link]] : [])));
  const links = all.filter(({ name }) => !tapName.test(name));
  const addresses = listAddresses(socket);
  const routes = listRoutes(socket);
  const networks: MachineNetwork[] = [];
  const told: NetlinkRequest[] = [setLink(LOOPBACK, { up: true })];
  const later: NetlinkRequest[] = [];
  for (const [number, link] of links.entries()) {
    const tap = `vm${number}`;
    detach(socket, link.index, taps.get(tap));
    makeTap(netns, tap, user);
    const index = linkIndex(socket, tap);
    if (index === undefined) throw new Error(`tap ${tap} vanished while it was set up`);
    socket.transact([
      setLink(index, { noIpv6LinkLocal: true }),
      setLink(index, { mtu: link.mtu, up: true }),
      addIngress(link.index),
      redirect(link.index, index),
      addIngress(index),
      redirect(index, link.index),
    ]);
    networks.push({ tap, mac: link.mac });
    const inside = LOOPBACK + 1 + number;
    told.push(setLink(inside, { noIpv6LinkLocal: true }), setLink(inside, { mtu: link.mtu, up: true }));
    for (const address of addresses)
      if (address.link === link.index && !address.address.startsWith("fe80:"))
        told.push(addAddress({ ...address, link: inside }));
    for (const route of routes) {
      if (route.link !== link.index || route.destination?.address.startsWith("fe80:")) continue;
      if (route.destination?.address.startsWith("ff")) continue;
      // A gateway is to be reachable before a route goes over it.
      (route.gateway ? later : told).push(replaceRoute({ ...route, link: inside }));
    }
  }
  return { networks, messages: messagesOf([...told, ...later]) };
}

/** A network that outlives its machine, as a pod's does, keeps the tap: it goes before the next machine comes. */
function detach(socket: NetlinkSocket, link: number, tap: Link | undefined): void {
  if (!tap) return;
  if (tap.operState !== IF_OPER_DOWN)
    throw unimplemented("--runtime vm: this network has a machine already, and can have one at a time");
  socket.transact([removeIngress(link), deleteLink(tap.index)]);
}

function messagesOf(requests: readonly NetlinkRequest[]): Uint8Array {
  const out = new MessageWriter();
  for (const [index, request] of requests.entries())
    out.message({ ...request, flags: request.flags | NLM_F_REQUEST }, index + 1);
  return out.bytes.slice();
}

/** A tap that stays when whoever uses it ends; it goes with its namespace. */
function makeTap(netns: string, name: string, user: number): void {
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name));
  new DataView(request.buffer).setUint16(16, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
  withNetns(netns, () => {
    const fd = openSync("/dev/net/tun", "r+");
    try {
      syscall("ioctl", [fd, TUNSETIFF, request], `tap ${name}`);
      syscall("ioctl", [fd, TUNSETOWNER, user], `tap ${name}`);
      syscall("ioctl", [fd, TUNSETPERSIST, 1], `tap ${name}`);
    } finally {
      closeSync(fd);
    }
  });
}
