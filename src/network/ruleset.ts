import { addressBytes } from "../sys/netlink/address.ts";
import * as e from "../sys/netlink/expressions.ts";
import type { NetlinkRequest } from "../sys/netlink/message.ts";
import { concatenate, type NftTable, type SetElement } from "../sys/netlink/nftables.ts";
import { ipv4Text, parseCidr } from "./subnet.ts";
import type { PortBinding } from "./types.ts";

/** What the rules need to know of a network. */
export interface FirewalledNetwork {
  bridge: string;
  subnet: string;
  internal: boolean;
  /** Containers of the network may talk to each other. */
  interContainer: boolean;
  masquerade: boolean;
}

/** A published port and the container address behind it. */
export interface PublishedPort extends PortBinding {
  containerIp: string;
}

const PRIORITY_RAW = -300;
const PRIORITY_DSTNAT = -100;
const PRIORITY_FILTER = 0;
const PRIORITY_SRCNAT = 100;
const SADDR = 12;
const DADDR = 16;

const accept = e.decide({ verdict: "accept" });
const drop = e.decide({ verdict: "drop" });
export const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

const inSubnet = (offset: number, subnet: string): e.Expression[] => {
  const { first, prefixLength } = parseCidr(subnet);
  const mask = prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) >>> 0;
  return [
    e.payload("network", offset, 4),
    e.bitwise(addressBytes(ipv4Text(mask))),
    e.compare("eq", addressBytes(ipv4Text(first))),
  ];
};
const loopback = (offset: number): e.Expression[] => [
  e.payload("network", offset, 1),
  e.compare("eq", Uint8Array.of(127)),
];
const wasPublished: e.Expression[] = [
  e.ct("status"),
  e.bitwise(e.hostU32(e.CT_STATUS_DNAT)),
  e.compare("ne", e.hostU32(0)),
];

/** Ports published on all addresses and those on one are in different maps: their keys differ. */
export function elementOf(port: PublishedPort): { set: "ports" | "ports_at"; element: SetElement } {
  const key = [Uint8Array.of(protocols[port.protocol]), e.portBytes(port.hostPort)];
  const value = concatenate(addressBytes(port.containerIp), e.portBytes(port.containerPort));
  return port.hostIp === "0.0.0.0"
    ? { set: "ports", element: { key: concatenate(...key), value } }
    : { set: "ports_at", element: { key: concatenate(addressBytes(port.hostIp), ...key), value } };
}

/** An IPv6 address is served by a relay (see relay.ts), not by rules. */
export const byRules = (port: PublishedPort) => !port.hostIp.includes(":");

/** The elements of one of the two maps. */
export function elementsOf(set: "ports" | "ports_at", ports: Iterable<PublishedPort>): SetElement[] {
  return [...ports]
    .map(elementOf)
    .filter((one) => one.set === set)
    .map(({ element }) => element);
}

/** All that belongs in the engine's (empty) table. */
export function ruleset(
  table: NftTable,
  networks: readonly FirewalledNetwork[],
  published: Iterable<PublishedPort>,
): NetlinkRequest[] {
  const ports = [...published];
  const requests: NetlinkRequest[] = [
    table.addSet({ name: "bridges", key: ["ifname"] }),
    table.addSet({
      name: "ports",
      key: ["inet_proto", "inet_service"],
      value: ["ipv4_addr", "inet_service"],
    }),
    table.addSet({
      name: "ports_at",
      key: ["ipv4_addr", "inet_proto", "inet_service"],
      value: ["ipv4_addr", "inet_service"],
    }),
    table.addChain("guard", { type: "filter", hook: "prerouting", priority: PRIORITY_RAW }),
    table.addChain("prerouting", { type: "nat", hook: "prerouting", priority: PRIORITY_DSTNAT }),
    table.addChain("output", { type: "nat", hook: "output", priority: PRIORITY_DSTNAT }),
    table.addChain("postrouting", { type: "nat", hook: "postrouting", priority: PRIORITY_SRCNAT }),
    table.addChain("forward", { type: "filter", hook: "forward", priority: PRIORITY_FILTER }),
    table.addChain("published"),
  ];
  const rule = (chain: string, ...expressions: e.Expression[]) => {
    requests.push(table.addRule(chain, expressions));
  };
  if (networks.length > 0)
    requests.push(
      ...table.addElements(
        "bridges",
        networks.map(({ bridge }) => ({ key: e.interfaceName(bridge) })),
      ),
    );

  // Our bridges accept routes to 127/8 (for ports published to localhost); nobody on them may use that.
  rule("guard", e.meta("iifname"), e.lookup("bridges"), ...loopback(DADDR), drop);

  for (const chain of ["prerouting", "output"]) {
    rule(
      chain,
      e.fibDestinationType(),
      e.compare("eq", e.hostU32(e.RTN_LOCAL)),
      e.decide({ verdict: "jump", chain: "published" }),
    );
  }
  rule(
    "published",
    e.payload("network", DADDR, 4),
    e.meta("l4proto", 1),
    e.payload("transport", 2, 2, 2),
    e.lookupMap("ports_at", 0, 0),
    e.nat("dnat", 0, 1),
  );
  rule(
    "published",
    e.meta("l4proto"),
    e.payload("transport", 2, 2, 1),
    e.lookupMap("ports", 0, 0),
    e.nat("dnat", 0, 1),
  );

  for (const { bridge, subnet, masquerade, interContainer, internal } of networks) {
    const fromBridge = [e.meta("iifname"), e.compare("eq", e.interfaceName(bridge))];
    const toBridge = [e.meta("oifname"), e.compare("eq", e.interfaceName(bridge))];
    const notToBridge = [e.meta("oifname"), e.compare("ne", e.interfaceName(bridge))];
    // A port published to localhost, and one reached from its own network, need an answer by way of the host.
    rule("postrouting", ...toBridge, ...loopback(SADDR), e.masquerade());
    rule("postrouting", ...toBridge, ...inSubnet(SADDR, subnet), ...wasPublished, e.masquerade());
    if (masquerade && !internal)
      rule("postrouting", ...inSubnet(SADDR, subnet), ...notToBridge, e.masquerade());
    rule("forward", ...fromBridge, ...toBridge, ...(interContainer ? [accept] : [...wasPublished, accept]));
    if (internal) {
      rule("forward", ...fromBridge, drop);
      rule("forward", ...toBridge, drop);
    }
  }
  // Into a network from outside: answers, and what was published. Never from one network to another.
  rule(
    "forward",
    e.meta("oifname"),
    e.lookup("bridges"),
    e.ct("state"),
    e.bitwise(e.hostU32(e.CT_ESTABLISHED | e.CT_RELATED)),
    e.compare("ne", e.hostU32(0)),
    accept,
  );
  rule("forward", e.meta("oifname"), e.lookup("bridges"), ...wasPublished, accept);
  rule("forward", e.meta("oifname"), e.lookup("bridges"), drop);

  for (const set of ["ports", "ports_at"] as const) {
    requests.push(...table.addElements(set, elementsOf(set, ports)));
  }
  return requests;
}
