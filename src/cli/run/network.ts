/** `--network`, short and long, with the older flags that mean its first network. */
import type { EndpointIpamConfig, EndpointSettings, Sent } from "../../engine/types.ts";
import { goQuote } from "../format/quote.ts";
import { cut } from "./environment.ts";
import { checkMac, splitCsv } from "./values.ts";

export interface NetworkAttachment {
  target: string;
  aliases: string[];
  links: string[];
  ip: string;
  ip6: string;
  mac: string;
  linkLocal: string[];
  driverOptions: Record<string, string>;
  gatewayPriority: number;
}

const attachment = (target: string): NetworkAttachment => ({
  target,
  aliases: [],
  links: [],
  ip: "",
  ip6: "",
  mac: "",
  linkLocal: [],
  driverOptions: {},
  gatewayPriority: 0,
});

/** A name, or `name=x,alias=y,ip=…,driver-opt=k=v`. */
export function parseNetwork(text: string): NetworkAttachment {
  if (!/\w+=\w+(,\w+=\w+)*/.test(text)) return attachment(text);
  const network = attachment("");
  for (const field of splitCsv(text)) {
    const [rawKey, rawValue] = cut(field.toLowerCase(), "=");
    if (rawValue === undefined || rawKey === "") throw new Error(`invalid field ${field}`);
    const value = rawValue.trim();
    switch (rawKey.trim()) {
      case "name":
        network.target = value;
        break;
      case "alias":
        network.aliases.push(value);
        break;
      case "ip":
        network.ip = value;
        break;
      case "ip6":
        network.ip6 = value;
        break;
      case "mac-address":
        network.mac = value;
        break;
      case "link-local-ip":
        network.linkLocal.push(value);
        break;
      case "driver-opt": {
        const [key, option] = cut(value, "=");
        if (option === undefined || key === "")
          throw new Error("invalid key value pair format in driver options");
        network.driverOptions[key.trim()] = option.trim();
        break;
      }
      case "gw-priority":
        if (!/^[+-]?\d+$/.test(value)) throw new Error(`invalid gw-priority (${value}): invalid syntax`);
        network.gatewayPriority = Number(value);
        break;
      default:
        throw new Error(`invalid field key ${rawKey.trim()}`);
    }
  }
  if (network.target === "") throw new Error("network name/id is not specified");
  return network;
}

export interface OlderFlags {
  aliases: string[];
  links: string[];
  ip: string;
  ip6: string;
  mac: string;
  linkLocal: string[];
}

const userDefined = (name: string) =>
  !["default", "bridge", "host", "none", ""].includes(name) && !name.startsWith("container:");

/** The endpoints of the create body, by network. */
export function endpoints(
  networks: readonly NetworkAttachment[],
  older: OlderFlags,
): Record<string, Sent<EndpointSettings>> {
  if (networks.length === 0) {
    const first = attachment("default");
    applyOlder(first, older);
    return { default: endpoint(first) };
  }
  const out: Record<string, Sent<EndpointSettings>> = {};
  networks.forEach((given, at) => {
    const network = { ...given };
    if (at === 0) applyOlder(network, older);
    const settings = endpoint(network);
    if (Object.hasOwn(out, network.target))
      throw new Error(`network ${goQuote(network.target)} is specified multiple times`);
    // A single network without options is named by NetworkMode alone.
    if (networks.length === 1 && !hasOptions(network)) return;
    out[network.target] = settings;
  });
  const defined = networks.map(({ target }) => userDefined(target));
  if (defined.includes(true) && defined.includes(false))
    throw new Error(
      "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
    );
  return out;
}

function hasOptions(network: NetworkAttachment): boolean {
  return (
    network.aliases.length + network.links.length + network.linkLocal.length > 0 ||
    network.ip + network.ip6 + network.mac !== "" ||
    Object.keys(network.driverOptions).length > 0 ||
    network.gatewayPriority !== 0
  );
}

function applyOlder(network: NetworkAttachment, older: OlderFlags): void {
  const clash = (both: boolean, text: string) => {
    if (both) throw new Error(`conflicting options: cannot specify both ${text}`);
  };
  clash(network.aliases.length > 0 && older.aliases.length > 0, "--network-alias and per-network alias");
  clash(network.links.length > 0 && older.links.length > 0, "--link and per-network links");
  clash(network.ip !== "" && older.ip !== "", "--ip and per-network IPv4 address");
  clash(network.ip6 !== "" && older.ip6 !== "", "--ip6 and per-network IPv6 address");
  clash(network.mac !== "" && older.mac !== "", "--mac-address and per-network MAC address");
  clash(
    network.linkLocal.length > 0 && older.linkLocal.length > 0,
    "--link-local-ip and per-network link-local IP addresses",
  );
  if (older.aliases.length > 0) network.aliases = older.aliases;
  // On the default bridge a link is the old kind, which is part of HostConfig.
  if (userDefined(network.target) && older.links.length > 0) network.links = older.links;
  network.ip ||= older.ip;
  network.ip6 ||= older.ip6;
  network.mac ||= older.mac;
  if (older.linkLocal.length > 0) network.linkLocal = older.linkLocal;
}

function endpoint(network: NetworkAttachment): Sent<EndpointSettings> {
  if (network.target.trim() === "") throw new Error("no name set for network");
  if (!userDefined(network.target)) {
    if (network.aliases.length > 0)
      throw new Error("network-scoped aliases are only supported for user-defined networks");
    if (network.links.length > 0) throw new Error("links are only supported for user-defined networks");
  }
  if (network.mac !== "") checkMac(network.mac);
  const ipam: EndpointIpamConfig = {
    ...(network.ip === "" ? {} : { IPv4Address: network.ip }),
    ...(network.ip6 === "" ? {} : { IPv6Address: network.ip6 }),
    ...(network.linkLocal.length === 0 ? {} : { LinkLocalIPs: network.linkLocal }),
  };
  return {
    IPAMConfig: Object.keys(ipam).length > 0 ? ipam : null,
    Links: network.links.length > 0 ? network.links : null,
    Aliases: network.aliases.length > 0 ? network.aliases : null,
    DriverOpts: Object.keys(network.driverOptions).length > 0 ? network.driverOptions : null,
    GwPriority: network.gatewayPriority,
    NetworkID: "",
    EndpointID: "",
    Gateway: "",
    IPAddress: "",
    MacAddress: network.mac,
    IPPrefixLen: 0,
    IPv6Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}

/** NetworkMode of the container: its first network. */
export const networkMode = (networks: readonly NetworkAttachment[]) => networks[0]?.target ?? "default";
