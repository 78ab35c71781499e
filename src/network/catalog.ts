import { CortenError, invalid, notFound } from "../base/errors.ts";
import { ipamOf, PREDEFINED } from "./definitions.ts";
import { AddressPool } from "./ipam.ts";
import { Records } from "./records.ts";
import { ipv4Number, parseCidr, type Subnet } from "./subnet.ts";
import type { Endpoint, NetworkRecord } from "./types.ts";

/** Networks, endpoints and addresses, in memory and on disk; it knows nothing of the kernel. */
export class Catalog {
  readonly #records: Records;
  readonly #networks = new Map<string, NetworkRecord>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #pools = new Map<string, AddressPool>();
  readonly #cursors = new Map<string, number>();

  constructor(path: string) {
    this.#records = new Records(path);
    for (const { record, cursor } of this.#records.networks()) {
      this.#networks.set(record.id, record);
      if (cursor !== undefined) this.#cursors.set(record.id, cursor);
    }
    for (const endpoint of this.#records.endpoints()) this.#endpoints.set(endpoint.endpointId, endpoint);
  }

  networks(): NetworkRecord[] {
    return [...this.#networks.values()];
  }

  bridges(): NetworkRecord[] {
    return this.networks().filter(({ driver }) => driver === "bridge");
  }

  byName(name: string): NetworkRecord | undefined {
    return this.networks().find((network) => network.name === name);
  }

  list(): NetworkRecord[] {
    const rank = ({ name }: NetworkRecord) => {
      const index = (PREDEFINED as readonly string[]).indexOf(name);
      return index < 0 ? PREDEFINED.length : index;
    };
    return this.networks().sort((a, b) => rank(a) - rank(b) || (a.created < b.created ? -1 : 1));
  }

  inspect(nameOrId: string): NetworkRecord {
    // The Engine API's network mode "default" means the default bridge.
    const found = this.#networks.get(nameOrId) ?? this.byName(nameOrId === "default" ? "bridge" : nameOrId);
    if (found) return found;
    const byPrefix = nameOrId ? this.networks().filter(({ id }) => id.startsWith(nameOrId)) : [];
    if (byPrefix.length > 1)
      throw invalid(`network ${nameOrId} is ambiguous (${byPrefix.length} matches found on ID prefix)`);
    if (byPrefix[0]) return byPrefix[0];
    throw notFound(`network ${nameOrId} not found`);
  }

  endpoints(): Endpoint[] {
    return [...this.#endpoints.values()];
  }
  endpointsOn(networkId: string): Endpoint[] {
    return this.endpoints().filter((endpoint) => endpoint.networkId === networkId);
  }
  endpointsOf(containerId: string): Endpoint[] {
    return this.endpoints().filter((endpoint) => endpoint.containerId === containerId);
  }

  /** What our networks take, but for one of them. */
  subnets(exceptId?: string): Subnet[] {
    return this.bridges()
      .filter(({ id }) => id !== exceptId)
      .map((network) => parseCidr(ipamOf(network).subnet));
  }

  saveNetwork(network: NetworkRecord): void {
    this.#networks.set(network.id, network);
    this.#pools.delete(network.id);
    this.#records.saveNetwork(network);
  }

  removeNetwork(id: string): void {
    this.#networks.delete(id);
    this.#pools.delete(id);
    this.#cursors.delete(id);
    this.#records.removeNetwork(id);
  }

  /** The addresses of a bridge network. */
  pool(network: NetworkRecord): AddressPool {
    let pool = this.#pools.get(network.id);
    if (!pool) {
      if (network.driver !== "bridge")
        throw new CortenError("internal", `network ${network.name} has no addresses`);
      const leases = this.endpointsOn(network.id).map(({ ipAddress }) => ipv4Number(ipAddress));
      pool = new AddressPool(ipamOf(network), leases, this.#cursors.get(network.id));
      this.#pools.set(network.id, pool);
    }
    return pool;
  }

  /** Makes an endpoint known before it is complete; `saveEndpoint` makes it last. */
  addEndpoint(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.endpointId, endpoint);
  }

  saveEndpoint(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.endpointId, endpoint);
    this.#records.saveEndpoint(endpoint, this.#pools.get(endpoint.networkId)?.cursor);
  }

  /** Forgets the endpoint and gives its address back. */
  removeEndpoint(endpoint: Endpoint): void {
    this.#endpoints.delete(endpoint.endpointId);
    if (endpoint.ipAddress) this.#pools.get(endpoint.networkId)?.release(ipv4Number(endpoint.ipAddress));
    this.#records.removeEndpoint(endpoint.endpointId);
  }

  close(): void {
    this.#records[Symbol.dispose]();
  }
}
