/** rtnetlink requests on links: bridges, veth pairs (kernel: include/uapi/linux/rtnetlink.h, if_link.h). */
import { addressOf, rawSyscall, SyscallError } from "../libc.ts";
import { macBytes, macText } from "./address.ts";
import {
  Attributes,
  type MessageWriter,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/** netdevice(7); any socket of the namespace will do. */
const SIOCGIFINDEX = 0x8933;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GLINK = 10;
const ENODEV = 19;

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const AF_UNSPEC = 0;
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
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
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

/**
 * The one queue each way that a veth has in use unless more are asked for. Said in so many words it is made with one; else
 * with one for each processor, of which all but one are then put out of use, and that waits for two grace periods.
 */
function oneQueue(out: MessageWriter): void {
  out.attributeU32(IFLA_NUM_TX_QUEUES, 1);
  out.attributeU32(IFLA_NUM_RX_QUEUES, 1);
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
      oneQueue(out);
      out.nest(IFLA_LINKINFO, () => {
        out.attributeString(IFLA_INFO_KIND, "veth");
        out.nest(IFLA_INFO_DATA, () =>
          out.nest(VETH_INFO_PEER, () => {
            linkHeader(out, 0, peer.up);
            linkAttributes(out, peer);
            oneQueue(out);
          }),
        );
      });
    },
  };
}

/** Changes the link of that index (where `name` renames it) or of that name. */
export function setLink(link: number, change: LinkSettings): NetlinkRequest;
export function setLink(link: string, change: Omit<LinkSettings, "name">): NetlinkRequest;
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

/**
 * Has the kernel act now on a carrier that has come: it lets the link send, and the link's bridge forward. Of itself it does
 * that a moment later in a thread of its own, which may wait for a processor longer than a container takes to send its
 * first packet. Asking ethtool for the carrier does it, on any link that has one.
 */
export function settleCarrier(socket: NetlinkSocket, name: string): void {
  const value = new Uint8Array(8);
  value[0] = ETHTOOL_GLINK;
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name).subarray(0, 15));
  new DataView(request.buffer).setBigUint64(16, addressOf(value), true);
  rawSyscall("ioctl", socket.fd, SIOCETHTOOL, request);
}

/** The index of a link by its name, in one system call. */
export function linkIndex(socket: NetlinkSocket, name: string): number | undefined {
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name).subarray(0, 15));
  const result = rawSyscall("ioctl", socket.fd, SIOCGIFINDEX, request);
  if (result === -ENODEV) return undefined;
  if (result < 0) throw new SyscallError("ioctl", -result, `index of ${name}`);
  return new DataView(request.buffer).getInt32(16, true);
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
