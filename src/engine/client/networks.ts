import type {
  ConnectNetworkRequest,
  CreateNetworkRequest,
  CreateNetworkResponse,
  DisconnectNetworkRequest,
  NetworkInspect,
  PruneNetworksResponse,
} from "../types.ts";
import { encodeFilters, type Filters, type Transport } from "./transport.ts";

const at = (id: string, verb = "") => `/networks/${encodeURIComponent(id)}${verb}`;

/** Calls under `/networks`. */
export class Networks {
  readonly #transport: Transport;
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(filters?: Filters): Promise<NetworkInspect[]> {
    return this.#transport.json("GET", "/networks", { query: { filters: encodeFilters(filters) } });
  }

  inspectRaw(id: string, options: { verbose?: boolean; scope?: string } = {}): Promise<Buffer> {
    const query = { verbose: options.verbose ? "true" : undefined, scope: options.scope || undefined };
    return this.#transport.raw("GET", at(id), { query });
  }

  create(body: CreateNetworkRequest): Promise<CreateNetworkResponse> {
    return this.#transport.json("POST", "/networks/create", { json: body });
  }

  async remove(id: string): Promise<void> {
    await this.#transport.run("DELETE", at(id));
  }

  async connect(id: string, body: ConnectNetworkRequest): Promise<void> {
    await this.#transport.run("POST", at(id, "/connect"), { json: body });
  }

  async disconnect(id: string, body: DisconnectNetworkRequest): Promise<void> {
    await this.#transport.run("POST", at(id, "/disconnect"), { json: body });
  }

  prune(filters?: Filters): Promise<PruneNetworksResponse> {
    return this.#transport.json("POST", "/networks/prune", { query: { filters: encodeFilters(filters) } });
  }
}
