import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { deleteFlowsTo } from "../sys/netlink/conntrack.ts";
import { interfaceName } from "../sys/netlink/expressions.ts";
import { follow } from "../sys/netlink/follow.ts";
import type { NetlinkMessage, NetlinkRequest } from "../sys/netlink/message.ts";
import {
  committerOf,
  NFNLGRP_NFTABLES,
  NftSocket,
  NftTable,
  type SetElement,
} from "../sys/netlink/nftables.ts";
import {
  byRules,
  elementOf,
  elementsOf,
  type FirewalledNetwork,
  type PublishedPort,
  protocols,
  ruleset,
} from "./ruleset.ts";
import type { PortBinding } from "./types.ts";

const RESTORE_DELAY = 100;
const RESTORE_DELAY_MAX = 10_000;

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
    if (!this.isIntact()) this.#write();
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
    this.#socket.commit([
      table.add(),
      table.delete(),
      table.add(),
      ...ruleset(table, this.#networks, this.#ports.values()),
    ]);
    this.#written = this.#fingerprint();
  }

  #fingerprint(): string {
    return this.#table
      .listRules(this.#socket)
      .map(({ chain, expressions }) => `${chain} ${Buffer.from(expressions).toString("hex")}`)
      .join("\n");
  }

  /**
   * Whether the kernel still has our rules and elements. Rules are compared with what it showed after this
   * process wrote them (a rule replaced in place keeps its handle); what a former process of this engine
   * wrote, perhaps an older version, is never taken for intact.
   */
  isIntact(): boolean {
    if (this.#written === undefined || this.#fingerprint() !== this.#written) return false;
    const sorted = (list: readonly string[]) => [...list].sort().join(" ");
    for (const set of ["ports", "ports_at"] as const) {
      const have = this.#table.listElements(this.#socket, set);
      if (
        !have ||
        sorted(have.map(elementText)) !== sorted(elementsOf(set, this.#ports.values()).map(elementText))
      )
        return false;
    }
    const bridges = this.#table.listElements(this.#socket, "bridges");
    return (
      bridges !== undefined &&
      sorted(bridges.map(elementText)) ===
        sorted(this.#networks.map(({ bridge }) => elementText({ key: interfaceName(bridge) })))
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
