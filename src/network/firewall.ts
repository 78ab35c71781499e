import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { addressBytes } from "../sys/netlink/address.ts";
import { deleteFlowsTo } from "../sys/netlink/conntrack.ts";
import * as e from "../sys/netlink/expressions.ts";
import { follow } from "../sys/netlink/follow.ts";
import type { NetlinkMessage, NetlinkRequest } from "../sys/netlink/message.ts";
import {
  committerOf,
  concatenate,
  NFNLGRP_NFTABLES,
  NftSocket,
  NftTable,
  type SetElement,
} from "../sys/netlink/nftables.ts";
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
const RESTORE_DELAY = 100;
const RESTORE_DELAY_MAX = 10_000;
const SADDR = 12;
const DADDR = 16;

const accept = e.decide({ verdict: "accept" });
const drop = e.decide({ verdict: "drop" });
const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

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
function elementOf(port: PublishedPort): { set: "ports" | "ports_at"; element: SetElement } {
  const key = [Uint8Array.of(protocols[port.protocol]), e.portBytes(port.hostPort)];
  const value = concatenate(addressBytes(port.containerIp), e.portBytes(port.containerPort));
  return port.hostIp === "0.0.0.0"
    ? { set: "ports", element: { key: concatenate(...key), value } }
    : { set: "ports_at", element: { key: concatenate(addressBytes(port.hostIp), ...key), value } };
}

/** An IPv6 address is served by a relay (see relay.ts), not by rules. */
const byRules = (port: PublishedPort) => !port.hostIp.includes(":");

interface Expected {
  rules: string[];
  requests: NetlinkRequest[];
}

/**
 * The engine's own nf_tables table: masquerading, published ports, isolation between networks.
 *
 * The table is always written whole, in one transaction; a published port is one element more or less in a map.
 * Its chains only ever concern our bridges, so tables of several engines, Docker's and the host's do not meet.
 * Beware: an `accept` here ends our chain only. A drop in another table (a host firewall whose forward policy
 * is drop) still drops.
 */
export class Firewall {
  readonly #table: NftTable;
  readonly #socket = new NftSocket();
  #networks: FirewalledNetwork[] = [];
  readonly #ports = new Map<string, PublishedPort>();
  #monitor: { socket: NftSocket; stop: () => void } | undefined;
  #restoreTimer: NodeJS.Timeout | undefined;
  #restoreDelay = RESTORE_DELAY;
  #lastRestore = 0;
  /** The rules as this process wrote them. */
  #written: string | undefined;

  constructor(tableName: string) {
    this.#table = new NftTable("ip", tableName);
  }

  /** States what should be there and writes it, unless the kernel has exactly that already. */
  set(networks: FirewalledNetwork[], ports: Iterable<PublishedPort>): void {
    this.#networks = networks;
    this.#ports.clear();
    for (const port of ports) if (byRules(port)) this.#ports.set(portKey(port), port);
    if (this.isIntact()) this.#written ??= this.#fingerprint();
    else this.#write();
  }

  setNetworks(networks: FirewalledNetwork[]): void {
    this.#networks = networks;
    this.#write();
  }

  /** Publishes all of the ports or none. */
  publish(ports: readonly PublishedPort[]): void {
    const added = ports.filter(byRules);
    for (const port of added) this.#ports.set(portKey(port), port);
    try {
      this.#change(added, (set, elements) => this.#table.addElements(set, elements));
    } catch (error) {
      for (const port of added) this.#ports.delete(portKey(port));
      throw error;
    }
  }

  unpublish(ports: readonly PublishedPort[]): void {
    const removed = ports.filter((port) => this.#ports.delete(portKey(port)));
    this.#change(removed, (set, elements) => this.#table.deleteElements(set, elements));
  }

  #change(
    ports: readonly PublishedPort[],
    request: (set: string, elements: SetElement[]) => NetlinkRequest[],
  ): void {
    if (ports.length === 0) return;
    const bySet = new Map<string, SetElement[]>();
    for (const port of ports) {
      const { set, element } = elementOf(port);
      bySet.set(set, [...(bySet.get(set) ?? []), element]);
    }
    try {
      this.#socket.commit([...bySet].flatMap(([set, elements]) => request(set, elements)));
    } catch {
      // Someone flushed or edited the table a moment ago: the whole of it is right in any case.
      this.#write();
    }
    // A UDP flow has no end that would make it ask the rules again: a client that goes on sending would for ever
    // be sent to the container that had the port before, or to the host.
    const udp = ports.filter(({ protocol }) => protocol === "udp");
    this.#socket.attempt(udp.map(({ hostPort }) => deleteFlowsTo(protocols.udp, hostPort)));
  }

  #write(): void {
    const table = this.#table;
    // "Add, delete, add" within one transaction replaces the table whether or not it was there.
    this.#socket.commit([table.add(), table.delete(), table.add(), ...this.#expected().requests]);
    this.#written = this.#fingerprint();
  }

  #fingerprint(): string {
    return this.#table
      .listRules(this.#socket)
      .map(({ chain, expressions }) => `${chain} ${Buffer.from(expressions).toString("hex")}`)
      .join("\n");
  }

  #expected(): Expected {
    const table = this.#table;
    const rules: string[] = [];
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
      rules.push(chain);
      requests.push(table.addRule(chain, expressions));
    };
    const networks = this.#networks;
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
      requests.push(...table.addElements(set, this.#elementsOf(set)));
    }
    return { rules, requests };
  }

  #elementsOf(set: "ports" | "ports_at"): SetElement[] {
    return [...this.#ports.values()]
      .map(elementOf)
      .filter((one) => one.set === set)
      .map(({ element }) => element);
  }

  /**
   * Whether the kernel still has our rules and elements. Rules are compared with what the kernel showed
   * after this process wrote them (a rule replaced in place keeps its handle); those a former process of
   * this engine wrote by how many each chain has.
   */
  isIntact(): boolean {
    const sorted = (list: readonly string[]) => [...list].sort().join(" ");
    if (this.#written !== undefined) {
      if (this.#fingerprint() !== this.#written) return false;
    } else {
      const chains = this.#table.listRules(this.#socket).map(({ chain }) => chain);
      if (sorted(chains) !== sorted(this.#expected().rules)) return false;
    }
    for (const set of ["ports", "ports_at"] as const) {
      const have = this.#table.listElements(this.#socket, set);
      if (!have || sorted(have.map(elementText)) !== sorted(this.#elementsOf(set).map(elementText)))
        return false;
    }
    const bridges = this.#table.listElements(this.#socket, "bridges");
    return (
      bridges !== undefined &&
      sorted(bridges.map(elementText)) ===
        sorted(this.#networks.map(({ bridge }) => elementText({ key: e.interfaceName(bridge) })))
    );
  }

  /** Watches for changes by others and puts back what they removed. */
  watch(): void {
    if (this.#monitor) return;
    const socket = new NftSocket();
    socket.subscribe(NFNLGRP_NFTABLES);
    this.#monitor = { socket, stop: follow(socket, (messages) => this.#onChange(messages)) };
  }

  #onChange(messages: NetlinkMessage[]): void {
    const committers = messages.flatMap((message) => committerOf(message) ?? []);
    if (committers.length > 0 && committers.every(({ pid }) => pid === process.pid)) return;
    if (this.#restoreTimer) return;
    // Some tools flush and then write again in steps; and two that fight must not burn the machine.
    if (Date.now() - this.#lastRestore > RESTORE_DELAY_MAX) this.#restoreDelay = RESTORE_DELAY;
    this.#restoreTimer = setTimeout(() => {
      this.#restoreTimer = undefined;
      this.restore();
    }, this.#restoreDelay);
    this.#restoreTimer.unref();
  }

  /** Writes the table again if it was changed. */
  restore(): void {
    try {
      if (this.isIntact()) return;
      this.#write();
      this.#lastRestore = Date.now();
      this.#restoreDelay = Math.min(this.#restoreDelay * 2, RESTORE_DELAY_MAX);
      log.warn("firewall rules were changed from outside: restored", { table: this.#table.name });
    } catch (error) {
      log.error("cannot restore the firewall rules", { table: this.#table.name, error: messageOf(error) });
    }
  }

  /** Stops watching; the rules stay. */
  close(): void {
    clearTimeout(this.#restoreTimer);
    this.#monitor?.stop();
    this.#monitor?.socket.close();
    this.#monitor = undefined;
    this.#socket.close();
  }

  /** Removes the table. */
  destroy(): void {
    this.#networks = [];
    this.#ports.clear();
    this.#socket.commit([this.#table.add(), this.#table.delete()]);
  }
}

const portKey = (port: PortBinding) => `${port.protocol}/${port.hostIp}:${port.hostPort}`;

function elementText(element: SetElement): string {
  const value = element.value instanceof Uint8Array ? `=${Buffer.from(element.value).toString("hex")}` : "";
  return Buffer.from(element.key).toString("hex") + value;
}
