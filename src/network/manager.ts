import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../base/async.ts";
import { Cleanup } from "../base/cleanup.ts";
import { alreadyExists, CortenError, invalid, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { span } from "../base/trace.ts";
import { findLink } from "../sys/netlink/link.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/netlink/socket.ts";
import { collides, enableForwarding, freeSubnet, withNamespaceLock } from "./bridge.ts";
import { Bridges } from "./bridges.ts";
import { Catalog } from "./catalog.ts";
import { bridgeName, firewalled, hostBinding, ipamOf, isPredefined, newUserNetwork } from "./definitions.ts";
import { Firewall } from "./firewall.ts";
import { hasDefaultRoute, setDefaultRoute, unplug } from "./interface.ts";
import { macOf } from "./ipam.ts";
import { kernelNames, newId } from "./names.ts";
import { Ports, publishedPorts } from "./publish.ts";
import { openInside, Sandboxes } from "./sandbox.ts";
import { ipv4Text, parseCidr } from "./subnet.ts";
import { Sweeper } from "./sweep.ts";
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

/**
 * Networking of one engine. All of it happens in the network namespace the process is in.
 *
 * The records (SQLite) say what should be, the kernel is made to agree. Nothing depends on the process
 * being alive but the reservations of host ports and the relay for IPv6, which `reconcile` takes up again.
 */
export class NetworkManager implements Networks {
  readonly #options: NetworkManagerOptions;
  readonly #catalog: Catalog;
  readonly #host: NetlinkSocket;
  readonly #firewall: Firewall;
  readonly #ports: Ports;
  readonly #sandboxes: Sandboxes;
  readonly #bridges: Bridges;
  readonly #sweeper: Sweeper;
  readonly #mutex = new KeyedMutex();
  #closed = false;

  /** Opens the engine's networking and brings up what it records: bridges, table, forwarding. */
  static open(options: NetworkManagerOptions): NetworkManager {
    return new NetworkManager(options);
  }

  private constructor(options: NetworkManagerOptions) {
    this.#options = options;
    const own = kernelNames(options.root);
    const names = { ...own, bridge: options.bridgeName || own.bridge };
    this.#catalog = new Catalog(join(options.root, "network", "network.db"));
    this.#host = new NetlinkSocket(NETLINK_ROUTE);
    this.#bridges = new Bridges(this.#host, this.#catalog, names, options.mtu || DEFAULT_MTU, options);
    this.#firewall = new Firewall(names.table);
    this.#ports = new Ports(this.#firewall);
    this.#sandboxes = new Sandboxes(
      join(options.execRoot, "netns"),
      options.pool ?? DEFAULT_POOL,
      (netns, inside) =>
        this.#bridges.plug(this.inspect("bridge"), inside, netns, "eth0", { loopback: true }),
    );
    this.#sweeper = new Sweeper(this.#host, names.vethPrefix, () => [
      ...this.#sandboxes.spareInterfaces,
      ...this.#catalog.endpoints().map(({ hostInterface }) => hostInterface),
    ]);
    try {
      withNamespaceLock(() => this.#bridges.start());
      enableForwarding();
      this.#setFirewall();
      this.#firewall.watch();
    } catch (error) {
      this.close();
      throw error;
    }
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
      this.#bridges.raise(network);
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
    this.#bridges.remove(network);
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
    this.#sweeper.sweepLater();
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
        this.#bridges.plug(network, inside, netns, name, settings ? { settings, loopback: true } : {}),
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
      this.#sweeper.sweepLater();
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
    this.#sweeper.sweep();
    for (const endpoint of this.#catalog.endpoints()) await this.#ports.retake(endpoint);
    this.#setFirewall();
  }

  prepare(): void {
    this.#sandboxes.fill();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sweeper.close();
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
      this.#sweeper.sweep();
      for (const network of this.#catalog.networks()) {
        const given = network.name === "bridge" && this.#options.bridgeName;
        if (!given) this.#bridges.remove(network);
      }
      this.#firewall.destroy();
    }
    this.close();
  }

  async destroy(): Promise<void> {
    this.#sandboxes.close();
    this.#sandboxes.prune(new Set());
    for (const endpoint of this.#catalog.endpoints()) this.#drop(endpoint);
    this.#sweeper.sweep();
    for (const network of this.#catalog.networks()) this.#forget(network);
    this.#firewall.destroy();
    this.close();
    rmSync(join(this.#options.root, "network"), { recursive: true, force: true });
    rmSync(join(this.#options.execRoot, "netns"), { recursive: true, force: true });
  }
}
