import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { hostHasIpv6 } from "./bridge.ts";
import type { Firewall } from "./firewall.ts";
import { bindError, PortReservations } from "./ports.ts";
import { type Relay, startRelay } from "./relay.ts";
import type { PublishedPort } from "./ruleset.ts";
import type { Endpoint, PortBinding, PortRequest } from "./types.ts";

/** Published ports of endpoints: the reservation on the host, the rules, and the relay for IPv6. */
export class Ports {
  readonly #firewall: Firewall;
  readonly #reservations = new PortReservations();
  readonly #relays = new Map<string, Relay>();

  constructor(firewall: Firewall) {
    this.#firewall = firewall;
  }

  /** Publishes all requests for the endpoint and writes them into its `ports`; the caller releases after a failure. */
  async publish(endpoint: Endpoint, requests: readonly PortRequest[]): Promise<void> {
    try {
      for (const request of requests)
        endpoint.ports.push(this.#reservations.reserve(request, endpoint.ipAddress));
      if (endpoint.ports.length === 0) return;
      this.#firewall.publish(publishedPorts(endpoint));
      for (const port of endpoint.ports) if (port.hostIp.includes(":")) await this.#relay(endpoint, port);
    } catch (error) {
      throw bindError(endpoint.containerName, endpoint.endpointId, error);
    }
    const open = requests.flatMap((request, index) => (request.hostIp ? [] : (endpoint.ports[index] ?? [])));
    for (const port of open) await this.#alsoOnIpv6(endpoint, port);
  }

  /** A port on all addresses is on the IPv6 ones too where that is possible (TCP, by the relay). */
  async #alsoOnIpv6(endpoint: Endpoint, port: PortBinding): Promise<void> {
    if (port.protocol !== "tcp" || !hostHasIpv6()) return;
    const binding = { ...port, hostIp: "::" };
    try {
      this.#reservations.take(binding, endpoint.ipAddress);
      await this.#relay(endpoint, binding);
      endpoint.ports.push(binding);
    } catch (error) {
      this.#reservations.release(binding);
      // A host with IPv6 switched off has no such address; that is no news.
      const { code } = error as NodeJS.ErrnoException;
      const say = code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT" ? log.debug : log.warn;
      say("port is published on IPv4 only", { port: port.hostPort, error: messageOf(error) });
    }
  }

  async #relay(endpoint: Endpoint, port: PortBinding): Promise<void> {
    if (port.protocol !== "tcp")
      throw new Error(`publishing ${port.protocol} on an IPv6 address ([${port.hostIp}]) is not supported`);
    this.#relays.set(keyOf(port), await startRelay({ ...port, containerIp: endpoint.ipAddress }));
  }

  /** After a restart of the engine: the rules are there, the reservations and relays are not. */
  async retake(endpoint: Endpoint): Promise<void> {
    for (const port of endpoint.ports) {
      try {
        this.#reservations.take(port, endpoint.ipAddress);
        if (port.hostIp.includes(":")) await this.#relay(endpoint, port);
      } catch (error) {
        // The rules still win over whoever took the port meanwhile; the container keeps its traffic.
        log.warn("cannot reserve a published port again", {
          container: endpoint.containerId,
          error: messageOf(error),
        });
      }
    }
  }

  release(endpoint: Endpoint): void {
    this.#firewall.unpublish(publishedPorts(endpoint));
    for (const port of endpoint.ports) {
      this.#relays.get(keyOf(port))?.close();
      this.#relays.delete(keyOf(port));
      this.#reservations.release(port);
    }
    endpoint.ports = [];
  }

  close(): void {
    for (const relay of this.#relays.values()) relay.close();
    this.#relays.clear();
    this.#reservations.close();
  }
}

const keyOf = ({ hostIp, hostPort }: PortBinding) => `[${hostIp}]:${hostPort}`;
/** The endpoint's ports with the address behind them. */
export const publishedPorts = (endpoint: Endpoint): PublishedPort[] =>
  endpoint.ports.map((port) => ({ ...port, containerIp: endpoint.ipAddress }));
