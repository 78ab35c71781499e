import { invalid } from "../../base/errors.ts";
import type { EndpointSettings, HostConfig, Sent } from "../../engine/types.ts";
import type { Endpoint } from "../../network/index.ts";

export const emptyEndpoint = (): EndpointSettings => ({
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: "",
  DriverOpts: null,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
});

export const isUserDefined = (mode: string): boolean =>
  !["", "default", "bridge", "host", "none"].includes(mode) && !mode.startsWith("container:");

/** The networks a container is to be on: its mode's, and those of NetworkingConfig. */
export function endpointSettings(
  host: HostConfig,
  wanted: Record<string, Sent<EndpointSettings> | null>,
  macAddress: string | undefined,
): Record<string, EndpointSettings> {
  const mode = host.NetworkMode;
  const out: Record<string, EndpointSettings> = {};
  for (const [name, settings] of Object.entries(wanted)) {
    const key = name === "default" ? "bridge" : name;
    out[key] = requested(key, settings);
  }
  if (mode.startsWith("container:")) {
    if (Object.keys(out).length > 0)
      throw invalid(
        "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
      );
    return {};
  }
  if ((mode === "host" || mode === "none") && Object.keys(out).some((name) => name !== mode))
    throw invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  if (!out[mode]) {
    // The mode's own network comes first.
    const rest = { ...out };
    for (const name of Object.keys(out)) delete out[name];
    out[mode] = emptyEndpoint();
    Object.assign(out, rest);
  }
  if (macAddress) out[mode]!.MacAddress ||= macAddress;
  return out;
}

/** What a client may ask of an endpoint; the rest of what it sends is what some other endpoint once had. */
export function requested(network: string, sent: Sent<EndpointSettings> | null): EndpointSettings {
  const settings = emptyEndpoint();
  if (!sent) return settings;
  const ipam = sent.IPAMConfig;
  if (ipam && (ipam.IPv4Address || ipam.IPv6Address || (ipam.LinkLocalIPs ?? []).length > 0)) {
    if (!isUserDefined(network))
      throw invalid(
        "invalid config for network " +
          network +
          ": invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
      );
    if (ipam.IPv4Address && !/^\d{1,3}(\.\d{1,3}){3}$/.test(ipam.IPv4Address))
      throw invalid(`invalid IPv4 address: ${ipam.IPv4Address}`);
  }
  if (ipam) settings.IPAMConfig = ipam;
  if ((sent.Aliases ?? []).length > 0) {
    if (!isUserDefined(network) && network !== "bridge")
      throw invalid("network-scoped alias is supported only for containers in user defined networks");
    settings.Aliases = [...sent.Aliases!];
  }
  if (sent.Links) settings.Links = [...sent.Links];
  if (sent.DriverOpts) settings.DriverOpts = { ...sent.DriverOpts };
  if (sent.MacAddress) {
    if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(sent.MacAddress))
      throw invalid(`invalid MAC address: ${sent.MacAddress}`);
    settings.MacAddress = sent.MacAddress;
  }
  return settings;
}

/** What the network gave, into the settings that are shown. */
export function fillEndpoint(settings: EndpointSettings, endpoint: Endpoint): void {
  settings.NetworkID = endpoint.networkId;
  settings.EndpointID = endpoint.endpointId;
  settings.Gateway = endpoint.gateway;
  settings.IPAddress = endpoint.ipAddress;
  settings.IPPrefixLen = endpoint.ipPrefixLen;
  settings.MacAddress = endpoint.macAddress;
}

/** After the container ended: the network is still the container's, its address is not. */
export function clearEndpoint(settings: EndpointSettings): void {
  settings.EndpointID = "";
  settings.Gateway = "";
  settings.IPAddress = "";
  settings.IPPrefixLen = 0;
  settings.IPv6Gateway = "";
  settings.GlobalIPv6Address = "";
  settings.GlobalIPv6PrefixLen = 0;
}
