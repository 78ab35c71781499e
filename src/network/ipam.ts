import { CortenError, invalid } from "../base/errors.ts";
import { ipv4Number, ipv4Text, parseCidr, type Subnet } from "./subnet.ts";
import type { IpamConfig } from "./types.ts";

/**
 * The addresses of one network. Each allocation takes the next free address after the last one given, so that
 * a released address rests for a whole round. The caller persists `cursor` and the leases.
 */
export class AddressPool {
  readonly subnet: Subnet;
  readonly #first: number;
  readonly #last: number;
  readonly #taken: Set<number>;
  #cursor: number;

  constructor(config: IpamConfig, leases: Iterable<number>, cursor: number | undefined) {
    this.subnet = parseCidr(config.subnet);
    const range = config.ipRange ? parseCidr(config.ipRange) : this.subnet;
    this.#first = Math.max(range.first, this.subnet.first + 1);
    this.#last = Math.min(range.last, this.subnet.last - 1);
    this.#taken = new Set(leases);
    this.#taken.add(ipv4Number(config.gateway));
    for (const address of Object.values(config.auxiliary ?? {})) this.#taken.add(ipv4Number(address));
    this.#cursor = cursor ?? this.#first - 1;
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** The next free address, or the wanted one; throws with Docker's words. */
  allocate(wanted?: string): number {
    if (wanted !== undefined) return this.#allocateWanted(wanted);
    const size = this.#last - this.#first + 1;
    for (let step = 1; step <= size; step++) {
      const address = this.#first + ((this.#cursor - this.#first + step + size) % size);
      if (this.#taken.has(address)) continue;
      this.#taken.add(address);
      this.#cursor = address;
      return address;
    }
    throw new CortenError(
      "resource_exhausted",
      "no available IPv4 addresses on this network's address pools",
    );
  }

  #allocateWanted(wanted: string): number {
    const address = ipv4Number(wanted);
    if (address <= this.subnet.first || address >= this.subnet.last)
      throw invalid(`invalid address ${ipv4Text(address)}: not in the network's subnet`);
    if (this.#taken.has(address)) throw new CortenError("failed_precondition", "Address already in use");
    this.#taken.add(address);
    return address;
  }

  release(address: number): void {
    this.#taken.delete(address);
  }
}

/** Docker's MAC of an address: 02:42 and its four bytes. */
export function macOf(address: number): string {
  const bytes = [2, 0x42, address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
