import { readFileSync, writeFileSync } from "node:fs";
import { span } from "../../base/trace.ts";
import {
  type Endpoint,
  hostnameFile,
  hostsFile,
  readHostResolvConf,
  resolvConf,
} from "../../network/index.ts";
import type { Daemon } from "../daemon.ts";
import type { Container } from "./container.ts";
import { checkLinks, linkHosts, tellParents } from "./links.ts";
import { clearEndpoint, fillEndpoint } from "./networks.ts";
import { hostnamePath, hostsPath, resolvConfPath } from "./paths.ts";
import { portRequests } from "./ports.ts";
import { runningContainer } from "./spec-input.ts";

/**
 * Connects a container about to start; returns the path of its network namespace, undefined for the host's.
 * What was taken is given back by `disconnectContainer`.
 */
export function connectContainer(daemon: Daemon, container: Container): Promise<string | undefined> {
  return span("network", "connect", () => connect(daemon, container));
}

async function connect(daemon: Daemon, container: Container): Promise<string | undefined> {
  const { record } = container;
  const mode = record.host.NetworkMode;
  if (mode.startsWith("container:")) {
    const other = runningContainer(daemon, mode, "network");
    record.sandboxKey = "";
    writeFiles(daemon, container, [], other);
    return other.record.host.NetworkMode === "host" ? undefined : `/proc/${other.state.pid}/ns/net`;
  }
  if (mode === "host") {
    const network = daemon.networks.inspect("host");
    record.networks["host"]!.NetworkID = network.id;
    writeFiles(daemon, container, []);
    return undefined;
  }
  checkLinks(daemon, record);
  // Names are checked before anything is made.
  const names = Object.keys(record.networks);
  const networks = names.map((name) => daemon.networks.inspect(name));
  const sandbox = daemon.networks.createSandbox(record.id, networks.length === 1 ? mode : undefined);
  record.sandboxId = sandbox.id;
  record.sandboxKey = sandbox.path;
  const addresses: string[] = [];
  // Ports are published once, on the first network that can.
  const publishing = networks.findIndex((network) => network.driver === "bridge" && !network.internal);
  for (const [index, name] of names.entries()) {
    if (networks[index]!.driver === "null") record.networks[name]!.NetworkID = networks[index]!.id;
    else addresses.push((await connectNetwork(daemon, container, name, index === publishing)).ipAddress);
  }
  writeFiles(daemon, container, addresses);
  if (record.networks["bridge"]) tellParents(daemon, container);
  return sandbox.path;
}

/** Connects the sandbox of a container to one of its networks. */
export async function connectNetwork(
  daemon: Daemon,
  container: Container,
  name: string,
  publish = false,
): Promise<Endpoint> {
  const { record } = container;
  const settings = record.networks[name]!;
  const network = daemon.networks.inspect(name);
  const shortId = record.id.slice(0, 12);
  const endpoint = await daemon.networks.attach({
    network: network.id,
    containerId: record.id,
    containerName: record.name,
    sandbox: { id: record.sandboxId, path: record.sandboxKey },
    ...(settings.IPAMConfig?.IPv4Address ? { ipAddress: settings.IPAMConfig.IPv4Address } : {}),
    ...(settings.MacAddress ? { macAddress: settings.MacAddress } : {}),
    aliases: [...(settings.Aliases ?? []), shortId],
    ...(publish ? { ports: portRequests(record.config, record.host) } : {}),
  });
  if (settings.MacAddress === "") record.generatedMacs.push(name);
  fillEndpoint(settings, endpoint);
  settings.DNSNames = isDefault(name)
    ? null
    : [...new Set([record.name, ...(settings.Aliases ?? []), shortId, record.config.Hostname])];
  daemon.events.publish("network", "connect", network.id, {
    container: record.id,
    name: network.name,
    type: network.driver,
  });
  return endpoint;
}

const isDefault = (name: string) => ["bridge", "host", "none"].includes(name);

/** Gives back addresses, ports and the namespace of a container that has ended. */
export async function disconnectContainer(daemon: Daemon, container: Container): Promise<void> {
  const { record } = container;
  if (record.host.NetworkMode === "host" || record.host.NetworkMode.startsWith("container:")) return;
  for (const endpoint of daemon.networks.endpointsOf(record.id))
    daemon.events.publish("network", "disconnect", endpoint.networkId, {
      container: record.id,
      name: endpoint.networkName,
      type: "bridge",
    });
  await daemon.networks.release(record.id);
  for (const [name, settings] of Object.entries(record.networks)) {
    clearEndpoint(settings);
    if (record.generatedMacs.includes(name)) settings.MacAddress = "";
  }
  record.generatedMacs = [];
  record.sandboxKey = "";
  record.sandboxId = "";
}

let hostResolv: { at: number; text: string } | undefined;

/** The host's resolv.conf, read at most once a second. */
function hostResolvConf(): string {
  const now = Date.now();
  if (!hostResolv || now - hostResolv.at > 1000) hostResolv = { at: now, text: readHostResolvConf() };
  return hostResolv.text;
}

/** Writes the three files that are mounted over the image's. They stay, so that the container's edits do. */
function writeFiles(daemon: Daemon, container: Container, addresses: string[], other?: Container): void {
  const { record } = container;
  const { host, config } = record;
  if (other) {
    for (const path of [hostsPath, resolvConfPath, hostnamePath])
      writeFileSync(path(daemon, record.id), readOrEmpty(path(daemon, other.id)));
    return;
  }
  const hostNetwork = host.NetworkMode === "host";
  const gateway = defaultGateway(daemon);
  writeFileSync(hostnamePath(daemon, record.id), hostnameFile(config.Hostname));
  writeFileSync(
    hostsPath(daemon, record.id),
    hostsFile({
      hostname: config.Hostname,
      ...(config.Domainname ? { domainname: config.Domainname } : {}),
      addresses,
      extraHosts: [...(host.ExtraHosts ?? []), ...linkHosts(daemon, record)],
      ...(gateway === undefined ? {} : { hostGateway: gateway }),
      ...(hostNetwork ? { base: readOrEmpty("/etc/hosts") } : {}),
    }),
  );
  const pick = (own: string[] | null, daemonWide: string[]) => (own && own.length > 0 ? own : daemonWide);
  writeFileSync(
    resolvConfPath(daemon, record.id),
    resolvConf({
      base: hostResolvConf(),
      nameservers: pick(host.Dns, daemon.config.dns),
      search: pick(host.DnsSearch, daemon.config.dnsSearch),
      options: pick(host.DnsOptions, daemon.config.dnsOptions),
      hostNetwork,
    }),
  );
}

function defaultGateway(daemon: Daemon): string | undefined {
  return daemon.networks.list().find((network) => network.name === "bridge")?.ipam.config[0]?.gateway;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
