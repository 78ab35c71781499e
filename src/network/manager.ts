import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { Cleanup } from "../base/cleanup.ts";
import { alreadyExists, CortenError, invalid, messageOf, notFound } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { span } from "../base/trace.ts";
import { findLink, listLinks } from "../sys/netlink/route.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/netlink/socket.ts";
import {
  collides,
  enableForwarding,
  ensureBridge,
  freeSubnet,
  removeBridge,
  withNamespaceLock,
} from "./bridge.ts";
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
  PREDEFINED,
} from "./definitions.ts";
import { Firewall } from "./firewall.ts";
import {
  configureInside,
  freeInterfaceName,
  hasDefaultRoute,
  plugVeth,
  setDefaultRoute,
  unplug,
} from "./interface.ts";
import { AddressPool, macOf } from "./ipam.ts";
import { type KernelNames, kernelNames, newId, newVethName } from "./names.ts";
import { Ports, publishedPorts } from "./publish.ts";
import { Records } from "./records.ts";
import { discard, openInside, removePreparedLink, Sandboxes } from "./sandbox.ts";
import { ipv4Number, ipv4Text, parseCidr, subnetText } from "./subnet.ts";
import type {
  AttachRequest,
  CreateNetworkRequest,
  Endpoint,
  InterfaceStatistics,
  IpamConfig,
  LiveContainer,
  NetworkManagerOptions,
  NetworkRecord,
  Networks,
  Sandbox,
} from "./types.ts";

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
  readonly #records: Records;
  readonly #host: NetlinkSocket;
  readonly #firewall: Firewall;
  readonly #ports: Ports;
  readonly #sandboxes: Sandboxes;
  readonly #mutex = new KeyedMutex();
  readonly #networks = new Map<string, NetworkRecord>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #pools = new Map<string, AddressPool>();
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
    this.#records = new Records(join(options.root, "network", "network.db"));
    this.#host = new NetlinkSocket(NETLINK_ROUTE);
    this.#firewall = new Firewall(names.table);
    this.#ports = new Ports(this.#firewall);
    this.#sandboxes = new Sandboxes(
      join(options.execRoot, "netns"),
      options.pool ?? DEFAULT_POOL,
      (netns, inside) => {
        const network = this.inspect("bridge");
        return this.#plug(network, inside, netns, "eth0");
      },
    );
    try {
      this.#load();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #load(): void {
    for (const { record, cursor } of this.#records.networks()) this.#adopt(record, cursor);
    for (const endpoint of this.#records.endpoints()) this.#endpoints.set(endpoint.endpointId, endpoint);
    withNamespaceLock(() => {
      this.#ensurePredefined();
      for (const network of this.#networks.values()) if (network.driver === "bridge") this.#raise(network);
    });
    for (const network of this.#networks.values()) this.#openPool(network);
    enableForwarding();
    this.#firewall.set(this.#firewalled(), [...this.#endpoints.values()].flatMap(publishedPorts));
    this.#firewall.watch();
  }

  readonly #cursors = new Map<string, number>();
  #adopt(record: NetworkRecord, cursor?: number): void {
    this.#networks.set(record.id, record);
    if (cursor !== undefined) this.#cursors.set(record.id, cursor);
  }

  #openPool(network: NetworkRecord): void {
    const config = network.ipam.config[0];
    if (!config) return;
    const leases = [...this.#endpoints.values()]
      .filter(({ networkId, ipAddress }) => networkId === network.id && ipAddress)
      .map(({ ipAddress }) => ipv4Number(ipAddress));
    this.#pools.set(network.id, new AddressPool(config, leases, this.#cursors.get(network.id)));
  }

  /** Makes the records of bridge, host and none on the first start, and moves the default bridge if it must. */
  #ensurePredefined(): void {
    const byName = (name: string) => [...this.#networks.values()].find((network) => network.name === name);
    const { bip } = this.#options;
    const existing = byName("bridge");
    const bridge = this.#names.bridge;
    const link = findLink(this.#host, bridge);
    const inUse = [...this.#endpoints.values()].some(({ networkId }) => networkId === existing?.id);
    let ipam = existing && ipamOf(existing);
    if (bip) {
      const cidr = parseCidr(bip);
      ipam = { subnet: subnetText(cidr), gateway: ipv4Text(cidr.host) };
    } else if (!ipam || (!inUse && collides(this.#host, parseCidr(ipam.subnet), link?.index))) {
      ipam = this.#chooseDefault(existing?.id);
    }
    const wanted = newDefaultBridge(bridge, ipam, this.#mtu);
    if (existing) {
      wanted.id = existing.id;
      wanted.created = existing.created;
    }
    if (JSON.stringify(wanted) !== JSON.stringify(existing)) this.#save(wanted);
    if (!byName("host")) this.#save(newHostNetwork());
    if (!byName("none")) this.#save(newNoneNetwork());
  }

  #chooseDefault(exceptId: string | undefined): IpamConfig {
    const subnet = freeSubnet(this.#host, this.#subnets(exceptId));
    return { subnet: subnetText(subnet), gateway: ipv4Text(subnet.first + 1) };
  }

  #subnets(exceptId?: string) {
    return [...this.#networks.values()]
      .filter(({ id, driver }) => driver === "bridge" && id !== exceptId)
      .map((network) => parseCidr(ipamOf(network).subnet));
  }

  #save(network: NetworkRecord): void {
    this.#networks.set(network.id, network);
    this.#records.saveNetwork(network);
  }

  #raise(network: NetworkRecord): void {
    const { subnet, gateway } = ipamOf(network);
    const mtu = mtuOf(network, this.#mtu);
    const index = ensureBridge(this.#host, { name: bridgeName(network), gateway, subnet, mtu });
    this.#bridges.set(network.id, index);
  }

  #firewalled() {
    return [...this.#networks.values()].filter(({ driver }) => driver === "bridge").map(firewalled);
  }

  list(): NetworkRecord[] {
    const rank = ({ name }: NetworkRecord) => {
      const index = (PREDEFINED as readonly string[]).indexOf(name);
      return index < 0 ? PREDEFINED.length : index;
    };
    return [...this.#networks.values()].sort((a, b) => rank(a) - rank(b) || (a.created < b.created ? -1 : 1));
  }

  inspect(nameOrId: string): NetworkRecord {
    const byId = this.#networks.get(nameOrId);
    if (byId) return byId;
    const all = [...this.#networks.values()];
    // Docker's API knows the default bridge by the mode "default" as well.
    const name = nameOrId === "default" ? "bridge" : nameOrId;
    const byName = all.find((network) => network.name === name);
    if (byName) return byName;
    const byPrefix = nameOrId ? all.filter(({ id }) => id.startsWith(nameOrId)) : [];
    if (byPrefix.length > 1)
      throw invalid(`network ${nameOrId} is ambiguous (${byPrefix.length} matches found on ID prefix)`);
    if (byPrefix[0]) return byPrefix[0];
    throw notFound(`network ${nameOrId} not found`);
  }

  endpoints(networkId: string): Endpoint[] {
    return [...this.#endpoints.values()].filter((endpoint) => endpoint.networkId === networkId);
  }

  endpointsOf(containerId: string): Endpoint[] {
    return [...this.#endpoints.values()].filter((endpoint) => endpoint.containerId === containerId);
  }

  async create(request: CreateNetworkRequest): Promise<NetworkRecord> {
    return await this.#mutex.run("networks", () => {
      if ([...this.#networks.values()].some(({ name }) => name === request.name && !isPredefined(name)))
        throw alreadyExists(`network with name ${request.name} already exists`);
      return withNamespaceLock(() => this.#create(request));
    });
  }

  #create(request: CreateNetworkRequest): NetworkRecord {
    const network = newUserNetwork(request, () => freeSubnet(this.#host, this.#subnets()));
    const subnet = parseCidr(ipamOf(network).subnet);
    if (request.ipam?.config?.[0]?.subnet && collides(this.#host, subnet))
      throw new CortenError("permission_denied", "Pool overlaps with other one on this address space");
    if (findLink(this.#host, bridgeName(network)))
      throw alreadyExists(`interface ${bridgeName(network)} already exists`);
    try {
      this.#raise(network);
      this.#save(network);
      this.#openPool(network);
      this.#firewall.setNetworks(this.#firewalled());
    } catch (error) {
      this.#forget(network);
      throw error;
    }
    return network;
  }

  #forget(network: NetworkRecord): void {
    this.#networks.delete(network.id);
    this.#pools.delete(network.id);
    this.#bridges.delete(network.id);
    this.#records.removeNetwork(network.id);
    if (network.driver === "bridge") removeBridge(this.#host, bridgeName(network));
  }

  async remove(nameOrId: string): Promise<void> {
    await this.#mutex.run("networks", () => {
      const network = this.inspect(nameOrId);
      if (isPredefined(network.name))
        throw new CortenError(
          "permission_denied",
          `${network.name} is a pre-defined network and cannot be removed`,
        );
      if (this.endpoints(network.id).length > 0)
        throw new CortenError(
          "permission_denied",
          `error while removing network: network ${network.name} id ${network.id} has active endpoints`,
        );
      this.#forget(network);
      this.#firewall.setNetworks(this.#firewalled());
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
    const prepared = network === "default" || network === "bridge" || network === this.inspect("bridge").id;
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
      this.#endpoints.set(endpoint.endpointId, endpoint);
      this.#records.saveEndpoint(endpoint, undefined);
      return endpoint;
    }
    if (request.ipAddress && network.name === "bridge")
      throw invalid("user specified IP address is supported on user defined networks only");
    await using undo = new Cleanup();
    const pool = this.#poolOf(network);
    const address = pool.allocate(request.ipAddress);
    undo.add("release address", () => pool.release(address));
    endpoint.ipAddress = ipv4Text(address);
    endpoint.ipPrefixLen = pool.subnet.prefixLength;
    endpoint.macAddress = request.macAddress || macOf(address);
    endpoint.gateway = network.internal ? "" : ipamOf(network).gateway;
    this.#endpoints.set(endpoint.endpointId, endpoint);
    undo.add("forget endpoint", () => this.#endpoints.delete(endpoint.endpointId));

    this.#wire(network, endpoint);
    undo.add("remove interface", () => unplug(this.#host, endpoint.hostInterface));

    const binding = hostBinding(network);
    const wanted = (request.ports ?? []).map((port) =>
      binding && !port.hostIp ? { ...port, hostIp: binding } : port,
    );
    undo.add("release ports", () => this.#ports.release(endpoint));
    await this.#ports.publish(endpoint, wanted);
    this.#records.saveEndpoint(endpoint, pool.cursor);
    undo.release();
    return endpoint;
  }

  #poolOf(network: NetworkRecord): AddressPool {
    const pool = this.#pools.get(network.id);
    if (!pool) throw new CortenError("internal", `network ${network.name} has no address pool`);
    return pool;
  }

  /** The endpoint's interface: the prepared one of its sandbox, or a new veth. */
  #wire(network: NetworkRecord, endpoint: Endpoint): void {
    const ready = this.#sandboxes.takePrepared(endpoint.containerId);
    const settings = {
      mac: endpoint.macAddress,
      address: endpoint.ipAddress,
      prefixLength: endpoint.ipPrefixLen,
    };
    if (ready) {
      try {
        if (network.name === "bridge") {
          endpoint.interfaceName = "eth0";
          endpoint.hostInterface = ready.hostInterface;
          configureInside(ready.inside, ready.index, { ...settings, gateway: endpoint.gateway || undefined });
          return;
        }
        removePreparedLink(ready);
      } finally {
        discard(ready);
      }
    }
    using inside = openInside(endpoint.sandboxKey);
    const netns = openSync(endpoint.sandboxKey, "r");
    try {
      endpoint.interfaceName = freeInterfaceName(inside);
      const { hostInterface, index } = this.#plug(network, inside, netns, endpoint.interfaceName);
      endpoint.hostInterface = hostInterface;
      try {
        const gateway = endpoint.gateway && !hasDefaultRoute(inside) ? endpoint.gateway : undefined;
        configureInside(inside, index, { ...settings, gateway });
      } catch (error) {
        unplug(this.#host, hostInterface);
        throw error;
      }
    } finally {
      closeSync(netns);
    }
  }

  #plug(network: NetworkRecord, inside: NetlinkSocket, netns: number, name: string) {
    const bridge = this.#bridges.get(network.id);
    if (bridge === undefined) throw new CortenError("internal", `network ${network.name} has no bridge`);
    const hostInterface = newVethName(this.#names.vethPrefix);
    const mtu = mtuOf(network, this.#mtu);
    const index = plugVeth(this.#host, inside, { hostName: hostInterface, name, bridge, netns, mtu });
    return { hostInterface, index };
  }

  async detach(containerId: string, nameOrId: string): Promise<void> {
    const { id } = this.inspect(nameOrId);
    const endpoint = this.endpointsOf(containerId).find(({ networkId }) => networkId === id);
    if (!endpoint) return;
    if (endpoint.hostInterface) unplug(this.#host, endpoint.hostInterface);
    this.#drop(endpoint);
    if (endpoint.gateway && existsSync(endpoint.sandboxKey)) this.#moveDefaultRoute(containerId, endpoint);
  }

  /** Another network of the container becomes the way out when the one that was it is gone. */
  #moveDefaultRoute(containerId: string, gone: Endpoint): void {
    const next = this.endpointsOf(containerId).find(({ gateway }) => gateway);
    if (!next) return;
    try {
      using inside = openInside(gone.sandboxKey);
      if (!hasDefaultRoute(inside)) setDefaultRoute(inside, next.gateway);
    } catch (error) {
      log.warn("cannot move the default route", { container: containerId, error: messageOf(error) });
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

  /** Gives back ports and address, and forgets the endpoint. */
  #drop(endpoint: Endpoint): void {
    this.#ports.release(endpoint);
    if (endpoint.ipAddress) this.#pools.get(endpoint.networkId)?.release(ipv4Number(endpoint.ipAddress));
    this.#endpoints.delete(endpoint.endpointId);
    this.#records.removeEndpoint(endpoint.endpointId);
  }

  rename(containerId: string, containerName: string): void {
    for (const endpoint of this.endpointsOf(containerId)) {
      endpoint.containerName = containerName;
      this.#records.saveEndpoint(endpoint, undefined);
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
    for (const endpoint of [...this.#endpoints.values()])
      if (!alive.has(endpoint.containerId)) this.#drop(endpoint);
    const keep = new Set(live.map(({ containerId }) => this.#sandboxes.pathOf(containerId)));
    for (const { sandboxPath } of live) if (sandboxPath) keep.add(sandboxPath);
    this.#sandboxes.prune(keep);
    this.#sweep();
    for (const endpoint of this.#endpoints.values()) {
      await this.#ports.retake(endpoint);
      this.#records.saveEndpoint(endpoint, undefined);
    }
    this.#firewall.set(this.#firewalled(), [...this.#endpoints.values()].flatMap(publishedPorts));
  }

  /** Removes veths of ours that belong to nothing: left by a killed engine, or by a namespace something else holds. */
  #sweep(): void {
    const wanted = new Set(this.#sandboxes.spareInterfaces);
    for (const { hostInterface } of this.#endpoints.values()) wanted.add(hostInterface);
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
    this.#records[Symbol.dispose]();
  }

  async destroy(): Promise<void> {
    this.#sandboxes.close();
    this.#sandboxes.prune(new Set());
    for (const endpoint of [...this.#endpoints.values()]) this.#drop(endpoint);
    this.#sweep();
    for (const network of [...this.#networks.values()]) this.#forget(network);
    this.#firewall.destroy();
    this.close();
    rmSync(join(this.#options.root, "network"), { recursive: true, force: true });
    rmSync(join(this.#options.execRoot, "netns"), { recursive: true, force: true });
  }
}
