/** Network records: the predefined three, and how a request becomes one. */
import { CortenError, invalid, notFound } from "../base/errors.ts";
import { gatewayOf } from "./bridge.ts";
import { bridgeOf, newId } from "./names.ts";
import type { FirewalledNetwork } from "./ruleset.ts";
import { ipv4Number, parseCidr, type Subnet, subnetText } from "./subnet.ts";
import type { CreateNetworkRequest, IpamConfig, NetworkRecord } from "./types.ts";

const BRIDGE_NAME = "com.docker.network.bridge.name";
const MTU = "com.docker.network.driver.mtu";
const ICC = "com.docker.network.bridge.enable_icc";
const MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4";

export const PREDEFINED = ["bridge", "host", "none"] as const;
export const isPredefined = (name: string) => (PREDEFINED as readonly string[]).includes(name);

/** RFC3339Nano, of which a JavaScript clock knows the milliseconds. */
const now = () => new Date().toISOString().replace("Z", "000000Z");

function record(name: string, driver: NetworkRecord["driver"]): NetworkRecord {
  return {
    id: newId(),
    name,
    driver,
    scope: "local",
    created: now(),
    enableIPv6: false,
    internal: false,
    attachable: false,
    ingress: false,
    ipam: { driver: "default", options: null, config: [] },
    options: {},
    labels: {},
  };
}

export const newHostNetwork = () => record("host", "host");
export const newNoneNetwork = () => record("none", "null");

export function newDefaultBridge(bridge: string, ipam: IpamConfig, mtu: number): NetworkRecord {
  return {
    ...record("bridge", "bridge"),
    ipam: { driver: "default", options: null, config: [ipam] },
    options: {
      "com.docker.network.bridge.default_bridge": "true",
      [ICC]: "true",
      [MASQUERADE]: "true",
      [HOST_BINDING]: "0.0.0.0",
      [BRIDGE_NAME]: bridge,
      [MTU]: String(mtu),
    },
  };
}

/** A user's network, its subnet chosen by `choose` when the request leaves it open. */
export function newUserNetwork(request: CreateNetworkRequest, choose: () => Subnet): NetworkRecord {
  const { name } = request;
  // Docker takes every name but a blank one.
  if (name.trim() === "") throw invalid(`invalid name: ${name}`);
  if (isPredefined(name) || name === "default")
    throw new CortenError("permission_denied", `operation is not permitted on predefined ${name} network `);
  const driver = request.driver || "bridge";
  if (driver === "host" || driver === "null")
    throw new CortenError("permission_denied", `only one instance of "${driver}" network is allowed`);
  if (driver !== "bridge") throw notFound(`plugin "${driver}" not found`);
  if (request.enableIPv6) throw invalid("IPv6 networks are not supported");
  const ipamDriver = request.ipam?.driver || "default";
  if (ipamDriver !== "default") throw notFound(`plugin "${ipamDriver}" not found`);
  const made = record(name, "bridge");
  const [wanted, ...more] = request.ipam?.config ?? [];
  if (more.length > 0) throw invalid("a bridge network has one IPv4 subnet");
  return {
    ...made,
    internal: request.internal ?? false,
    attachable: request.attachable ?? false,
    ipam: {
      driver: "default",
      options: request.ipam?.options ?? null,
      config: [ipamConfig(wanted ?? {}, choose)],
    },
    options: request.options ?? {},
    labels: request.labels ?? {},
  };
}

function ipamConfig(wanted: Partial<IpamConfig>, choose: () => Subnet): IpamConfig {
  const subnet = wanted.subnet ? parseCidr(wanted.subnet) : choose();
  if ("host" in subnet && subnet.host !== subnet.first)
    throw invalid(`invalid subnet ${wanted.subnet}: it should be ${subnetText(subnet)}`);
  if (subnet.prefixLength > 30) throw invalid(`invalid subnet ${subnetText(subnet)}: too small`);
  const inside = (address: number) => address > subnet.first && address < subnet.last;
  if (wanted.gateway && !inside(ipv4Number(wanted.gateway)))
    throw invalid(`no matching subnet for gateway ${wanted.gateway}`);
  const config: IpamConfig = { subnet: subnetText(subnet), gateway: wanted.gateway || gatewayOf(subnet) };
  if (wanted.ipRange) {
    const range = parseCidr(wanted.ipRange);
    if (range.first < subnet.first || range.last > subnet.last)
      throw invalid(`no matching subnet for range ${wanted.ipRange}`);
    config.ipRange = wanted.ipRange;
  }
  for (const [name, address] of Object.entries(wanted.auxiliary ?? {})) {
    if (!inside(ipv4Number(address)))
      throw new CortenError(
        "permission_denied",
        `auxiliary address: (${name}:${address}) must belong to the master pool: ${config.subnet}`,
      );
    config.auxiliary = { ...config.auxiliary, [name]: address };
  }
  return config;
}

export const bridgeName = (network: NetworkRecord) => network.options[BRIDGE_NAME] ?? bridgeOf(network.id);

/** Where ports of this network are bound that name no address. */
export function hostBinding(network: NetworkRecord): string | undefined {
  const address = network.options[HOST_BINDING];
  return address === "0.0.0.0" ? undefined : address;
}

export function mtuOf(network: NetworkRecord, fallback: number): number {
  const text = network.options[MTU];
  if (text === undefined) return fallback;
  const mtu = Number(text);
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65535) throw invalid(`invalid MTU: ${text}`);
  return mtu;
}

/** The one address configuration of a bridge network. */
export function ipamOf(network: NetworkRecord): IpamConfig {
  const [config] = network.ipam.config;
  if (!config) throw invalid(`network ${network.name} has no subnet`);
  return config;
}

export function firewalled(network: NetworkRecord): FirewalledNetwork {
  const isTrue = (option: string) => network.options[option] !== "false";
  return {
    bridge: bridgeName(network),
    subnet: ipamOf(network).subnet,
    internal: network.internal,
    interContainer: isTrue(ICC),
    masquerade: isTrue(MASQUERADE),
  };
}
