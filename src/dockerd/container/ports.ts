import { invalid } from "../../base/errors.ts";
import type { ContainerConfig, HostConfig, PortMap } from "../../engine/types.ts";
import type { PortBinding, PortRequest, Protocol } from "../../network/index.ts";

/** `80`, `80/tcp` → number and protocol. */
export function parsePort(text: string): { port: number; protocol: Protocol } {
  const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(text);
  const port = Number(match?.[1]);
  if (!match || port < 1 || port > 65535)
    throw invalid(`invalid port specification: ${JSON.stringify(text)}`);
  return { port, protocol: (match[2]?.toLowerCase() ?? "tcp") as Protocol };
}

/** `8080`, `8000-8010`. */
export function parsePortRange(text: string): { first: number; last: number } {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || last > 65535 || last < first)
    throw invalid(`invalid port specification: ${JSON.stringify(text)}`);
  return { first, last };
}

/** What `-p` and `-P` ask of the network. */
export function portRequests(config: ContainerConfig, host: HostConfig): PortRequest[] {
  const requests: PortRequest[] = [];
  const bound = new Set<string>();
  for (const [key, bindings] of Object.entries(host.PortBindings ?? {})) {
    const { port, protocol } = parsePort(key);
    bound.add(`${port}/${protocol}`);
    const wanted =
      bindings && bindings.length > 0 ? bindings : host.PublishAllPorts ? [{ HostIp: "", HostPort: "" }] : [];
    for (const { HostIp, HostPort } of wanted) {
      const request: PortRequest = { containerPort: port, protocol };
      if (HostIp) request.hostIp = HostIp;
      if (HostPort && HostPort !== "0") {
        const range = parsePortRange(HostPort);
        request.hostPort = range.first === range.last ? range.first : range;
      }
      requests.push(request);
    }
  }
  if (host.PublishAllPorts)
    for (const key of Object.keys(config.ExposedPorts ?? {})) {
      const { port, protocol } = parsePort(key);
      if (!bound.has(`${port}/${protocol}`)) requests.push({ containerPort: port, protocol });
    }
  return requests;
}

/** `NetworkSettings.Ports`: what is published, and null for what is only exposed. */
export function portMap(config: ContainerConfig, published: readonly PortBinding[]): PortMap {
  const map: PortMap = {};
  for (const key of Object.keys(config.ExposedPorts ?? {})) {
    const { port, protocol } = parsePort(key);
    map[`${port}/${protocol}`] = null;
  }
  for (const binding of published) {
    const key = `${binding.containerPort}/${binding.protocol}`;
    map[key] = [...(map[key] ?? []), { HostIp: binding.hostIp, HostPort: String(binding.hostPort) }];
  }
  return map;
}
