/** rtnetlink requests: links, addresses, routes, neighbours (kernel: include/uapi/linux/rtnetlink.h, if_link.h). */
import { addressBytes, addressText, macBytes, macText } from "./address.ts";
import {
  Attributes,
  type MessageWriter,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;

const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
export const IFF_UP = 1;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_STATS64 = 23;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BRPORT_MODE = 4;
const VETH_INFO_PEER = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const RTEXT_FILTER_SKIP_STATS = 8;

/** What can be said of a link when it is made or changed. */
export interface LinkSettings {
  name?: string;
  mac?: string;
  mtu?: number;
  /** Index of the bridge to join; 0 leaves it. */
  master?: number;
  up?: boolean;
  /** File descriptor of the namespace to move to (or to be made in). */
  netns?: number;
  /** No link-local IPv6 address, and so no duplicate address detection traffic. Only for `setLink`, and before the link is up. */
  noIpv6LinkLocal?: boolean;
  /** For a port of a bridge, with `setLink`: frames may leave by the port they came in. */
  hairpin?: boolean;
}

function linkHeader(out: MessageWriter, index: number, up: boolean | undefined): void {
  out.u8(AF_UNSPEC);
  out.u8(0);
  out.u16(0);
  out.u32(index);
  out.u32(up ? IFF_UP : 0);
  out.u32(up === undefined ? 0 : IFF_UP);
}

function linkAttributes(out: MessageWriter, link: LinkSettings): void {
  if (link.name !== undefined) out.attributeString(IFLA_IFNAME, link.name);
  if (link.mac !== undefined) out.attribute(IFLA_ADDRESS, macBytes(link.mac));
  if (link.mtu !== undefined) out.attributeU32(IFLA_MTU, link.mtu);
  if (link.master !== undefined) out.attributeU32(IFLA_MASTER, link.master);
  if (link.netns !== undefined) out.attributeU32(IFLA_NET_NS_FD, link.netns);
  if (link.hairpin !== undefined) {
    const mode = link.hairpin ? 1 : 0;
    out.nest(IFLA_LINKINFO, () => {
      out.attributeString(IFLA_INFO_SLAVE_KIND, "bridge");
      out.nest(IFLA_INFO_SLAVE_DATA, () => out.attributeU8(IFLA_BRPORT_MODE, mode));
    });
  }
  if (link.noIpv6LinkLocal) {
    out.nest(IFLA_AF_SPEC, () =>
      out.nest(AF_INET6, () => out.attributeU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
    );
  }
}

/** A bridge without spanning tree (the default), so that its ports forward at once. */
export function addBridge(link: LinkSettings & { name: string }): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    what: `add bridge ${link.name}`,
    body(out) {
      linkHeader(out, 0, link.up);
      linkAttributes(out, link);
      out.nest(IFLA_LINKINFO, () => out.attributeString(IFLA_INFO_KIND, "bridge"));
    },
  };
}

/** Both ends at once: the second may be made, named and brought up in another namespace by the same message. */
export function addVeth(
  link: LinkSettings & { name: string },
  peer: LinkSettings & { name: string },
): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    what: `add veth ${link.name}`,
    body(out) {
      linkHeader(out, 0, link.up);
      linkAttributes(out, link);
      out.nest(IFLA_LINKINFO, () => {
        out.attributeString(IFLA_INFO_KIND, "veth");
        out.nest(IFLA_INFO_DATA, () =>
          out.nest(VETH_INFO_PEER, () => {
            linkHeader(out, 0, peer.up);
            linkAttributes(out, peer);
          }),
        );
      });
    },
  };
}

/** Changes the link of that index (`name` renames it) or of that name. */
export function setLink(link: number | string, change: LinkSettings): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK,
    what: `set link ${link}`,
    body(out) {
      linkHeader(out, typeof link === "number" ? link : 0, change.up);
      if (typeof link === "string") out.attributeString(IFLA_IFNAME, link);
      linkAttributes(out, change);
    },
  };
}

/** By name or index. One end of a veth pair takes the other with it. */
export function deleteLink(link: string | number): NetlinkRequest {
  return {
    type: RTM_DELLINK,
    flags: NLM_F_ACK,
    what: `delete link ${link}`,
    body(out) {
      linkHeader(out, typeof link === "number" ? link : 0, undefined);
      if (typeof link === "string") out.attributeString(IFLA_IFNAME, link);
    },
  };
}

export interface LinkCounters {
  rxPackets: number;
  txPackets: number;
  rxBytes: number;
  txBytes: number;
  rxErrors: number;
  txErrors: number;
  rxDropped: number;
  txDropped: number;
}

export interface Link {
  index: number;
  name: string;
  up: boolean;
  mac: string;
  mtu: number;
  /** Index of the bridge it belongs to, or 0. */
  master: number;
  /** Index of a veth's other end in its own namespace, or 0. */
  peer: number;
  kind: string;
  /** 6 is "up" (RFC 2863). */
  operState: number;
  counters?: LinkCounters;
}

function linkIn(payload: Uint8Array): Link {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const attributes = new Attributes(payload.subarray(16));
  const stats = attributes.get(IFLA_STATS64);
  const link: Link = {
    index: view.getInt32(4, true),
    name: attributes.string(IFLA_IFNAME) ?? "",
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    mac: macText(attributes.get(IFLA_ADDRESS) ?? new Uint8Array()),
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    master: attributes.u32(IFLA_MASTER) ?? 0,
    peer: attributes.u32(IFLA_LINK) ?? 0,
    kind: attributes.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND) ?? "",
    operState: attributes.get(IFLA_OPERSTATE)?.[0] ?? 0,
  };
  if (stats && stats.length >= 64) link.counters = countersIn(stats);
  return link;
}

/** The first eight fields of struct rtnl_link_stats64. */
function countersIn(stats: Uint8Array): LinkCounters {
  const view = new DataView(stats.buffer, stats.byteOffset, stats.byteLength);
  const at = (index: number) => Number(view.getBigUint64(index * 8, true));
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  };
}

/** The link of that name with its counters, or undefined. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  try {
    const [message] = socket.query({
      type: RTM_GETLINK,
      flags: 0,
      what: `get link ${name}`,
      body(out) {
        linkHeader(out, 0, undefined);
        out.attributeString(IFLA_IFNAME, name);
      },
    });
    return message && linkIn(message.payload);
  } catch (error) {
    if (isMissingLink(error)) return undefined;
    throw error;
  }
}

/** ENODEV: the link is not (or no longer) there. */
export function isMissingLink(error: unknown): boolean {
  return error instanceof Error && "errnoName" in error && error.errnoName === "ENODEV";
}

/** All links, without counters; those of one bridge when `master` is given. */
export function listLinks(socket: NetlinkSocket, master?: number): Link[] {
  return socket
    .query({
      type: RTM_GETLINK,
      flags: NLM_F_DUMP,
      what: "list links",
      body(out) {
        linkHeader(out, 0, undefined);
        out.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        if (master !== undefined) out.attributeU32(IFLA_MASTER, master);
      },
    })
    .map((message) => linkIn(message.payload));
}

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 2;

export interface Address {
  /** Index of the link. */
  link: number;
  address: string;
  prefixLength: number;
}

const familyOf = (address: string) => (address.includes(":") ? AF_INET6 : AF_INET);

function addressRequest(type: number, flags: number, verb: string, a: Address): NetlinkRequest {
  const bytes = addressBytes(a.address);
  return {
    type,
    flags,
    what: `${verb} address ${a.address}/${a.prefixLength} on link ${a.link}`,
    body(out) {
      out.u8(familyOf(a.address));
      out.u8(a.prefixLength);
      out.u8(0);
      out.u8(0);
      out.u32(a.link);
      out.attribute(IFA_LOCAL, bytes);
      out.attribute(IFA_ADDRESS, bytes);
      if (bytes.length === 16) out.attributeU32(IFA_FLAGS, IFA_F_NODAD);
      else if (a.prefixLength < 31) out.attribute(IFA_BROADCAST, broadcastOf(bytes, a.prefixLength));
    },
  };
}

function broadcastOf(bytes: Uint8Array, prefixLength: number): Uint8Array {
  return bytes.map((byte, index) => byte | (255 >> Math.min(8, Math.max(0, prefixLength - index * 8))));
}

export const addAddress = (address: Address): NetlinkRequest =>
  addressRequest(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, "add", address);
export const deleteAddress = (address: Address): NetlinkRequest =>
  addressRequest(RTM_DELADDR, NLM_F_ACK, "delete", address);

/** Addresses of both families on all links. */
export function listAddresses(socket: NetlinkSocket): Address[] {
  return socket
    .query({
      type: RTM_GETADDR,
      flags: NLM_F_DUMP,
      what: "list addresses",
      body(out) {
        for (let i = 0; i < 4; i++) out.u8(0);
        out.u32(0);
      },
    })
    .flatMap(({ payload }) => {
      const attributes = new Attributes(payload.subarray(8));
      const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
      if (!bytes) return [];
      const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      return [{ link: view.getUint32(4, true), address: addressText(bytes), prefixLength: payload[1] ?? 0 }];
    });
}

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;

export interface Route {
  /** CIDR; without it the default route. */
  destination?: { address: string; prefixLength: number };
  gateway?: string;
  link?: number;
}

function routeRequest(type: number, flags: number, verb: string, route: Route): NetlinkRequest {
  const { destination, gateway, link } = route;
  const name = destination ? `${destination.address}/${destination.prefixLength}` : "default";
  return {
    type,
    flags,
    what: `${verb} route ${name}${gateway ? ` via ${gateway}` : ""}`,
    body(out) {
      out.u8(familyOf(destination?.address ?? gateway ?? "0.0.0.0"));
      out.u8(destination?.prefixLength ?? 0);
      out.u8(0);
      out.u8(0);
      out.u8(RT_TABLE_MAIN);
      out.u8(RTPROT_BOOT);
      out.u8(gateway ? 0 : RT_SCOPE_LINK);
      out.u8(RTN_UNICAST);
      out.u32(0);
      if (destination) out.attribute(RTA_DST, addressBytes(destination.address));
      if (gateway) out.attribute(RTA_GATEWAY, addressBytes(gateway));
      if (link !== undefined) out.attributeU32(RTA_OIF, link);
    },
  };
}

export const addRoute = (route: Route): NetlinkRequest =>
  routeRequest(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, "add", route);
export const replaceRoute = (route: Route): NetlinkRequest =>
  routeRequest(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, "replace", route);
export const deleteRoute = (route: Route): NetlinkRequest =>
  routeRequest(RTM_DELROUTE, NLM_F_ACK, "delete", route);

/** The unicast routes of all tables but the local one, both families. */
export function listRoutes(socket: NetlinkSocket): Route[] {
  return socket
    .query({
      type: RTM_GETROUTE,
      flags: NLM_F_DUMP,
      what: "list routes",
      body(out) {
        for (let i = 0; i < 12; i++) out.u8(0);
      },
    })
    .flatMap(({ payload }) => {
      if (payload[7] !== RTN_UNICAST) return [];
      const attributes = new Attributes(payload.subarray(12));
      const route: Route = {};
      const destination = attributes.get(RTA_DST);
      const gateway = attributes.get(RTA_GATEWAY);
      const link = attributes.u32(RTA_OIF);
      if (destination)
        route.destination = { address: addressText(destination), prefixLength: payload[1] ?? 0 };
      if (gateway) route.gateway = addressText(gateway);
      if (link !== undefined) route.link = link;
      return [route];
    });
}

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;

export interface Neighbour {
  link: number;
  address: string;
  mac: string;
}

function neighbourRequest(type: number, flags: number, verb: string, n: Neighbour): NetlinkRequest {
  return {
    type,
    flags,
    what: `${verb} neighbour ${n.address} on link ${n.link}`,
    body(out) {
      out.u8(familyOf(n.address));
      out.u8(0);
      out.u16(0);
      out.u32(n.link);
      out.u16(NUD_PERMANENT);
      out.u8(0);
      out.u8(0);
      out.attribute(NDA_DST, addressBytes(n.address));
      out.attribute(NDA_LLADDR, macBytes(n.mac));
    },
  };
}

/** A permanent entry, so that the first packet need not ask. */
export const addNeighbour = (neighbour: Neighbour): NetlinkRequest =>
  neighbourRequest(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, "add", neighbour);
export const deleteNeighbour = (neighbour: Neighbour): NetlinkRequest =>
  neighbourRequest(RTM_DELNEIGH, NLM_F_ACK, "delete", neighbour);
