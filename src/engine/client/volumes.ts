import type { CreateVolumeRequest, ListVolumesResponse, PruneVolumesResponse, Volume } from "../types.ts";
import { encodeFilters, type Filters, type Transport } from "./transport.ts";

const at = (name: string) => `/volumes/${encodeURIComponent(name)}`;

/** Calls under `/volumes`. */
export class Volumes {
  readonly #transport: Transport;
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(filters?: Filters): Promise<ListVolumesResponse> {
    return this.#transport.json("GET", "/volumes", { query: { filters: encodeFilters(filters) } });
  }

  inspectRaw(name: string): Promise<Buffer> {
    return this.#transport.raw("GET", at(name));
  }

  create(body: CreateVolumeRequest): Promise<Volume> {
    return this.#transport.json("POST", "/volumes/create", { json: body });
  }

  async remove(name: string, force = false): Promise<void> {
    await this.#transport.run("DELETE", at(name), { query: { force: force || undefined } });
  }

  prune(filters?: Filters): Promise<PruneVolumesResponse> {
    return this.#transport.json("POST", "/volumes/prune", { query: { filters: encodeFilters(filters) } });
  }
}
