import { CortenError, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { findLink } from "../sys/netlink/link.ts";
import type { NetlinkSocket } from "../sys/netlink/socket.ts";
import { addressOf, collides, ensureBridge, freeSubnet, gatewayOf, removeBridge } from "./bridge.ts";
import type { Catalog } from "./catalog.ts";
import {
  bridgeName,
  ipamOf,
  mtuOf,
  newDefaultBridge,
  newHostNetwork,
  newNoneNetwork,
} from "./definitions.ts";
import { plugVeth, type Veth } from "./interface.ts";
import { type KernelNames, newVethName } from "./names.ts";
import type { PreparedLink } from "./sandbox.ts";
import { ipv4Text, parseCidr, subnetText } from "./subnet.ts";
import type { NetworkManagerOptions, NetworkRecord } from "./types.ts";

/** The bridges of an engine's networks: brought up as the records say, and plugged into. */
export class Bridges {
  readonly #host: NetlinkSocket;
  readonly #catalog: Catalog;
  readonly #names: KernelNames;
  readonly #mtu: number;
  readonly #options: Pick<NetworkManagerOptions, "bip" | "bridgeName">;
  /** Interface index of each network's bridge. */
  readonly #indexes = new Map<string, number>();

  constructor(
    host: NetlinkSocket,
    catalog: Catalog,
    names: KernelNames,
    mtu: number,
    options: Pick<NetworkManagerOptions, "bip" | "bridgeName">,
  ) {
    this.#host = host;
    this.#catalog = catalog;
    this.#names = names;
    this.#mtu = mtu;
    this.#options = options;
  }

  /** Makes the records that every engine has, and the bridges of all records. */
  start(): void {
    this.#ensurePredefined();
    for (const network of this.#catalog.bridges()) this.#raiseAtStart(network);
  }

  /** Makes the records of bridge, host and none on the first start, and moves the default bridge if it must. */
  #ensurePredefined(): void {
    const catalog = this.#catalog;
    const { bridge } = this.#names;
    const { bip } = this.#options;
    const existing = catalog.byName("bridge");
    let ipam = existing && ipamOf(existing);
    // A bridge the administrator made and named keeps the address it was given.
    const address = bip || (this.#options.bridgeName && addressOf(this.#host, bridge));
    if (address) {
      const cidr = parseCidr(address);
      ipam = { subnet: subnetText(cidr), gateway: ipv4Text(cidr.host) };
    } else {
      const idle = !existing || catalog.endpointsOn(existing.id).length === 0;
      const link = findLink(this.#host, bridge)?.index;
      if (!ipam || (idle && collides(this.#host, parseCidr(ipam.subnet), link))) {
        const subnet = freeSubnet(this.#host, catalog.subnets(existing?.id));
        ipam = { subnet: subnetText(subnet), gateway: gatewayOf(subnet) };
      }
    }
    const wanted = newDefaultBridge(bridge, ipam, this.#mtu);
    if (existing) {
      wanted.id = existing.id;
      wanted.created = existing.created;
    }
    if (JSON.stringify(wanted) !== JSON.stringify(existing)) catalog.saveNetwork(wanted);
    if (!catalog.byName("host")) catalog.saveNetwork(newHostNetwork());
    if (!catalog.byName("none")) catalog.saveNetwork(newNoneNetwork());
  }

  /** One network that cannot be brought up must not keep the engine from starting; attaching to it fails. */
  #raiseAtStart(network: NetworkRecord): void {
    try {
      this.raise(network);
    } catch (error) {
      if (network.name === "bridge") throw error;
      log.error(`network ${network.name} cannot be brought up`, { error: messageOf(error) });
    }
  }

  /** Makes a network's bridge, or makes it what it should be. */
  raise(network: NetworkRecord): void {
    const { subnet, gateway } = ipamOf(network);
    const mtu = mtuOf(network, this.#mtu);
    const foreign = network.name === "bridge" && !!this.#options.bridgeName;
    const index = ensureBridge(this.#host, { name: bridgeName(network), gateway, subnet, mtu, foreign });
    this.#indexes.set(network.id, index);
  }

  remove(network: NetworkRecord): void {
    this.#indexes.delete(network.id);
    if (network.driver === "bridge") removeBridge(this.#host, bridgeName(network));
  }

  /** Links a namespace to a network's bridge. */
  plug(
    network: NetworkRecord,
    inside: NetlinkSocket,
    netns: number,
    name: string,
    also: Pick<Veth, "loopback" | "settings">,
  ): PreparedLink {
    const bridge = this.#indexes.get(network.id);
    if (bridge === undefined) throw new CortenError("internal", `network ${network.name} has no bridge`);
    const hostInterface = newVethName(this.#names.vethPrefix);
    const mtu = mtuOf(network, this.#mtu);
    const veth = { hostName: hostInterface, name, bridge, netns, mtu, ...also };
    const index = plugVeth(this.#host, inside, veth);
    return { hostInterface, index };
  }
}
