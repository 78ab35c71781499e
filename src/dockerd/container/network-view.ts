import type { EndpointSettings, NetworkSettings } from "../../engine/types.ts";
import type { Daemon } from "../daemon.ts";
import type { ContainerRecord } from "./container.ts";
import { portMap } from "./ports.ts";

/** `NetworkSettings` of inspect; the flat fields repeat the default bridge's. */
export function networkSettings(daemon: Daemon, record: ContainerRecord): NetworkSettings {
  const published = record.state.running
    ? daemon.networks.endpointsOf(record.id).flatMap((endpoint) => endpoint.ports)
    : [];
  const bridge = record.networks["bridge"];
  const live = record.state.running && !record.state.restarting;
  return {
    Bridge: "",
    SandboxID: record.sandboxId,
    SandboxKey: record.sandboxKey,
    Ports: live ? portMap(record.config, published) : {},
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.EndpointID ?? "",
    Gateway: bridge?.Gateway ?? "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    IPAddress: bridge?.IPAddress ?? "",
    IPPrefixLen: bridge?.IPPrefixLen ?? 0,
    IPv6Gateway: "",
    MacAddress: bridge?.MacAddress ?? "",
    Networks: record.networks as Record<string, EndpointSettings>,
  };
}
