/** rtnetlink requests on addresses, routes and neighbours (kernel: include/uapi/linux/rtnetlink.h, if_addr.h). */
import { addressBytes, addressText, macBytes } from "./address.ts";
import {
  Attributes,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const AF_INET = 2;
const AF_INET6 = 10;

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
