import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { Cleanup } from "../base/cleanup.ts";
import { alreadyExists, CortenError, invalid, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { span } from "../base/trace.ts";
import { findLink, listLinks } from "../sys/netlink/link.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/netlink/socket.ts";
import {
  addressOf,
  collides,
  enableForwarding,
  ensureBridge,
  freeSubnet,
  gatewayOf,
  removeBridge,
  withNamespaceLock,
} from "./bridge.ts";
import { Catalog } from "./catalog.ts";
import {
  bridgeName,
  firewalled,
  hostBinding,
  ipamOf,
  isPredefined,
  mtuOf,
  newDefaultBridge,
  newHostNetwork,
  newNoneNetwork,
  newUserNetwork,
} from "./definitions.ts";
import { Firewall } from "./firewall.ts";
import { hasDefaultRoute, plugVeth, setDefaultRoute, unplug, type Veth } from "./interface.ts";
import { macOf } from "./ipam.ts";
import { type KernelNames, kernelNames, newId, newVethName } from "./names.ts";
import { Ports, publishedPorts } from "./publish.ts";
import { openInside, type PreparedLink, Sandboxes } from "./sandbox.ts";
import { ipv4Text, parseCidr, subnetText } from "./subnet.ts";
import type {
  AttachRequest,
  CreateNetworkRequest,
  Endpoint,
  InterfaceStatistics,
  LiveContainer,
  NetworkManagerOptions,
  NetworkRecord,
  Networks,
  Sandbox,
} from "./types.ts";
import { wire } from "./wire.ts";

const DEFAULT_MTU = 1500;
const DEFAULT_POOL = 2;
/** By then the kernel has long torn down what was released. */
const SWEEP_DELAY = 2000;

/**
 * Networking of one engine. All of it happens in the network namespace the process is in.
 *
 * The records (SQLite) say what should be, the kernel is made to agree. Nothing depends on the process
 * being alive but the reservations of host ports and the relay for IPv6, which `reconcile` takes up again.
 */
export class NetworkManager implements Networks {
  readonly #options: NetworkManagerOptions;
  readonly #names: KernelNames;
  readonly #mtu: number;
  readonly #catalog: Catalog;
  readonly #host: NetlinkSocket;
  readonly #firewall: Firewall;
  readonly #ports: Ports;
  readonly #sandboxes: Sandboxes;
  readonly #mutex = new KeyedMutex();
  /** Interface index of each network's bridge. */
  readonly #bridges = new Map<string, number>();
  #sweeping: NodeJS.Timeout | undefined;
  #closed = false;

  /** Opens the engine's networking and brings up what it records: bridges, table, forwarding. */
  static open(options: NetworkManagerOptions): NetworkManager {
    return new NetworkManager(options);
  }

  private constructor(options: NetworkManagerOptions) {
    this.#options = options;
    this.#mtu = options.mtu || DEFAULT_MTU;
    const names = kernelNames(options.root);
    this.#names = { ...names, bridge: options.bridgeName || names.bridge };
    this.#catalog = new Catalog(join(options.root, "network", "network.db"));
    this.#host = new NetlinkSocket(NETLINK_ROUTE);
    this.#firewall = new Firewall(names.table);
    this.#ports = new Ports(this.#firewall);
    this.#sandboxes = new Sandboxes(
      join(options.execRoot, "netns"),
      options.pool ?? DEFAULT_POOL,
      (netns, inside) => this.#plug(this.inspect("bridge"), inside, netns, "eth0", { loopback: true }),
    );
    try {
      withNamespaceLock(() => {
        this.#ensurePredefined();
        for (const network of this.#catalog.bridges()) this.#raiseAtStart(network);
      });
      enableForwarding();
      this.#setFirewall();
      this.#firewall.watch();
    } catch (error) {
      this.close();
      throw error;
    }
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
      this.#raise(network);
    } catch (error) {
      if (network.name === "bridge") throw error;
      log.error(`network ${network.name} cannot be brought up`, { error: messageOf(error) });
    }
  }

  #raise(network: NetworkRecord): void {
    const { subnet, gateway } = ipamOf(network);
    const mtu = mtuOf(network, this.#mtu);
    const foreign = network.name === "bridge" && !!this.#options.bridgeName;
    const index = ensureBridge(this.#host, { name: bridgeName(network), gateway, subnet, mtu, foreign });
    this.#bridges.set(network.id, index);
  }

  #setFirewall(): void {
    this.#firewall.set(
      this.#catalog.bridges().map(firewalled),
      this.#catalog.endpoints().flatMap(publishedPorts),
    );
  }

  list(): NetworkRecord[] {
    return this.#catalog.list();
  }
  inspect(nameOrId: string): NetworkRecord {
    return this.#catalog.inspect(nameOrId);
  }
  endpoints(networkId: string): Endpoint[] {
    return this.#catalog.endpointsOn(networkId);
  }
  endpointsOf(containerId: string): Endpoint[] {
    return this.#catalog.endpointsOf(containerId);
  }

  async create(request: CreateNetworkRequest): Promise<NetworkRecord> {
    return await this.#mutex.run("networks", () => withNamespaceLock(() => this.#create(request)));
  }

  #create(request: CreateNetworkRequest): NetworkRecord {
    const catalog = this.#catalog;
    if (!isPredefined(request.name) && catalog.byName(request.name))
      throw alreadyExists(`network with name ${request.name} already exists`);
    const network = newUserNetwork(request, () => freeSubnet(this.#host, catalog.subnets()));
    if (request.ipam?.config?.[0]?.subnet && collides(this.#host, parseCidr(ipamOf(network).subnet)))
      throw new CortenError("permission_denied", "Pool overlaps with other one on this address space");
    if (findLink(this.#host, bridgeName(network)))
      throw alreadyExists(`interface ${bridgeName(network)} already exists`);
    try {
      this.#raise(network);
      catalog.saveNetwork(network);
      this.#setFirewall();
    } catch (error) {
      this.#forget(network);
      throw error;
    }
    return network;
  }

  #forget(network: NetworkRecord): void {
    this.#catalog.removeNetwork(network.id);
    this.#bridges.delete(network.id);
    if (network.driver === "bridge") removeBridge(this.#host, bridgeName(network));
  }

  async remove(nameOrId: string): Promise<void> {
    await this.#mutex.run("networks", () => {
      const network = this.inspect(nameOrId);
      const { id, name } = network;
      if (isPredefined(name))
        throw new CortenError("permission_denied", `${name} is a pre-defined network and cannot be removed`);
      if (this.endpoints(id).length > 0)
        throw new CortenError(
          "permission_denied",
          `error while removing network: network ${name} id ${id} has active endpoints`,
        );
      this.#forget(network);
      this.#setFirewall();
    });
  }

  async prune(matches: (network: NetworkRecord) => boolean = () => true): Promise<string[]> {
    const removed: string[] = [];
    for (const network of this.list()) {
      if (isPredefined(network.name) || this.endpoints(network.id).length > 0 || !matches(network)) continue;
      await this.remove(network.id);
      removed.push(network.name);
    }
    return removed;
  }

  createSandbox(containerId: string, network = ""): Sandbox {
    const prepared = ["bridge", "default", this.inspect("bridge").id].includes(network);
    return span("network", "create sandbox", () => this.#sandboxes.create(containerId, prepared));
  }

  removeSandbox(containerId: string): void {
    this.#sandboxes.remove(containerId);
    this.#sweepLater();
  }

  async attach(request: AttachRequest): Promise<Endpoint> {
    return await span("network", "attach", () => this.#attach(request), { network: request.network });
  }

  async #attach(request: AttachRequest): Promise<Endpoint> {
    const { containerId, containerName, sandbox } = request;
    const catalog = this.#catalog;
    const network = this.inspect(request.network);
    if (this.endpointsOf(containerId).some(({ networkId }) => networkId === network.id))
      throw new CortenError(
        "permission_denied",
        `endpoint with name ${containerName} already exists in network ${network.name}`,
      );
    const endpoint: Endpoint = {
      endpointId: newId(),
      networkId: network.id,
      networkName: network.name,
      containerId,
      containerName,
      sandboxId: sandbox.id,
      sandboxKey: sandbox.path,
      interfaceName: "",
      hostInterface: "",
      macAddress: "",
      ipAddress: "",
      ipPrefixLen: 0,
      gateway: "",
      aliases: request.aliases ?? [],
      ports: [],
    };
    if (network.driver !== "bridge") {
      catalog.saveEndpoint(endpoint);
      return endpoint;
    }
    if (request.ipAddress && network.name === "bridge")
      throw invalid("user specified IP address is supported on user defined networks only");

    await using undo = new Cleanup();
    const pool = catalog.pool(network);
    const address = pool.allocate(request.ipAddress);
    endpoint.ipAddress = ipv4Text(address);
    endpoint.ipPrefixLen = pool.subnet.prefixLength;
    endpoint.macAddress = request.macAddress || macOf(address);
    endpoint.gateway = network.internal ? "" : ipamOf(network).gateway;
    catalog.addEndpoint(endpoint);
    undo.add("forget endpoint", () => catalog.removeEndpoint(endpoint));

    wire(this.#host, endpoint, {
      prepared: this.#sandboxes.takePrepared(containerId),
      onDefaultBridge: network.name === "bridge",
      plug: (inside, netns, name, settings) =>
        this.#plug(network, inside, netns, name, settings ? { settings, loopback: true } : {}),
    });
    undo.add("remove interface", () => unplug(this.#host, endpoint.hostInterface));

    const binding = hostBinding(network);
    const ports = (request.ports ?? []).map((port) =>
      binding && !port.hostIp ? { ...port, hostIp: binding } : port,
    );
    undo.add("release ports", () => this.#ports.release(endpoint));
    await this.#ports.publish(endpoint, ports);
    catalog.saveEndpoint(endpoint);
    undo.release();
    return endpoint;
  }

  #plug(
    network: NetworkRecord,
    inside: NetlinkSocket,
    netns: number,
    name: string,
    also: Pick<Veth, "loopback" | "settings">,
  ): PreparedLink {
    const bridge = this.#bridges.get(network.id);
    if (bridge === undefined) throw new CortenError("internal", `network ${network.name} has no bridge`);
    const hostInterface = newVethName(this.#names.vethPrefix);
    const mtu = mtuOf(network, this.#mtu);
    const veth = { hostName: hostInterface, name, bridge, netns, mtu, ...also };
    const index = plugVeth(this.#host, inside, veth);
    return { hostInterface, index };
  }

  async detach(containerId: string, nameOrId: string): Promise<void> {
    const { id } = this.inspect(nameOrId);
    const endpoint = this.endpointsOf(containerId).find(({ networkId }) => networkId === id);
    if (!endpoint) return;
    if (endpoint.hostInterface) unplug(this.#host, endpoint.hostInterface);
    this.#drop(endpoint);
    if (endpoint.gateway && existsSync(endpoint.sandboxKey)) this.#moveDefaultRoute(endpoint);
  }

  /** Another network of the container becomes its way out when the one that was is gone. */
  #moveDefaultRoute(gone: Endpoint): void {
    const next = this.endpointsOf(gone.containerId).find(({ gateway }) => gateway);
    if (!next) return;
    try {
      using inside = openInside(gone.sandboxKey);
      if (!hasDefaultRoute(inside)) setDefaultRoute(inside, next.gateway);
    } catch (error) {
      log.warn("cannot move the default route", { container: gone.containerId, error: messageOf(error) });
    }
  }

  async release(containerId: string): Promise<void> {
    span("network", "release", () => {
      // The kernel takes the veth down with the namespace, in its own time: cheaper than asking for it.
      this.#sandboxes.remove(containerId);
      for (const endpoint of this.endpointsOf(containerId)) this.#drop(endpoint);
      this.#sweepLater();
    });
  }

  #drop(endpoint: Endpoint): void {
    this.#ports.release(endpoint);
    this.#catalog.removeEndpoint(endpoint);
  }

  rename(containerId: string, containerName: string): void {
    for (const endpoint of this.endpointsOf(containerId)) {
      endpoint.containerName = containerName;
      this.#catalog.saveEndpoint(endpoint);
    }
  }

  statistics(containerId: string): Record<string, InterfaceStatistics> {
    const result: Record<string, InterfaceStatistics> = {};
    for (const { interfaceName, hostInterface } of this.endpointsOf(containerId)) {
      const counters = hostInterface ? findLink(this.#host, hostInterface)?.counters : undefined;
      if (!counters) continue;
      // What the host's end sends is what the container receives.
      result[interfaceName] = {
        rx_bytes: counters.txBytes,
        rx_packets: counters.txPackets,
        rx_errors: counters.txErrors,
        rx_dropped: counters.txDropped,
        tx_bytes: counters.rxBytes,
        tx_packets: counters.rxPackets,
        tx_errors: counters.rxErrors,
        tx_dropped: counters.rxDropped,
      };
    }
    return result;
  }

  async reconcile(live: LiveContainer[]): Promise<void> {
    const alive = new Set(live.map(({ containerId }) => containerId));
    for (const endpoint of this.#catalog.endpoints())
      if (!alive.has(endpoint.containerId)) this.#drop(endpoint);
    const keep = new Set(live.map(({ containerId }) => this.#sandboxes.pathOf(containerId)));
    for (const { sandboxPath } of live) if (sandboxPath) keep.add(sandboxPath);
    this.#sandboxes.prune(keep);
    this.#sweep();
    for (const endpoint of this.#catalog.endpoints()) await this.#ports.retake(endpoint);
    this.#setFirewall();
  }

  /** Removes veths of ours that belong to nothing: left by a killed engine, or by a namespace something else holds. */
  #sweep(): void {
    const wanted = new Set(this.#sandboxes.spareInterfaces);
    for (const { hostInterface } of this.#catalog.endpoints()) wanted.add(hostInterface);
    for (const { name, kind } of listLinks(this.#host)) {
      if (kind === "veth" && name.startsWith(this.#names.vethPrefix) && !wanted.has(name))
        unplug(this.#host, name);
    }
  }

  #sweepLater(): void {
    if (this.#sweeping || this.#closed) return;
    this.#sweeping = setTimeout(() => {
      this.#sweeping = undefined;
      try {
        this.#sweep();
      } catch (error) {
        log.warn("cannot remove unused interfaces", { error: messageOf(error) });
      }
    }, SWEEP_DELAY);
    this.#sweeping.unref();
  }

  prepare(): void {
    this.#sandboxes.fill();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#sweeping);
    this.#sandboxes.close();
    this.#ports.close();
    this.#firewall.close();
    this.#host.close();
    this.#catalog.close();
  }

  retire(): void {
    if (this.#closed) return;
    if (this.#catalog.endpoints().length === 0) {
      this.#sandboxes.close();
      this.#sweep();
      for (const network of this.#catalog.networks()) {
        const given = network.name === "bridge" && this.#options.bridgeName;
        if (network.driver === "bridge" && !given) removeBridge(this.#host, bridgeName(network));
      }
      this.#firewall.destroy();
    }
    this.close();
  }

  async destroy(): Promise<void> {
    this.#sandboxes.close();
    this.#sandboxes.prune(new Set());
    for (const endpoint of this.#catalog.endpoints()) this.#drop(endpoint);
    this.#sweep();
    for (const network of this.#catalog.networks()) this.#forget(network);
    this.#firewall.destroy();
    this.close();
    rmSync(join(this.#options.root, "network"), { recursive: true, force: true });
    rmSync(join(this.#options.execRoot, "netns"), { recursive: true, force: true });
  }
}
