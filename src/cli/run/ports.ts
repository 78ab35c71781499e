/** `-p` and `--expose`: `ip:host:container/proto`, with ranges, and the long form `target=80,published=8080`. */

import type { PortMap, StringSet } from "../../engine/types.ts";
import { cut } from "./environment.ts";
import { isIP } from "./ip.ts";
import { isPort } from "./values.ts";

export interface Ports {
  exposed: StringSet;
  bindings: PortMap;
}

export function parsePorts(publish: readonly string[], expose: readonly string[]): Ports {
  const ports: Ports = { exposed: {}, bindings: {} };
  for (const text of publish.map(shortForm)) publishOne(text, ports);
  for (const text of expose) exposeOne(text, ports);
  return ports;
}

/** `published=8080,target=80,protocol=udp` in the short notation. */
function shortForm(text: string): string {
  if (!text.includes("=")) return text;
  const parameters: Record<string, string> = { protocol: "tcp", published: "", target: "" };
  for (const parameter of text.split(",")) {
    const [key, value] = cut(parameter, "=");
    if (value === undefined || key === "")
      throw new Error(`invalid publish opts format (should be name=value but got '${parameter}')`);
    parameters[key] = value;
  }
  return `${parameters["published"]}:${parameters["target"]}/${parameters["protocol"]}`;
}

function publishOne(text: string, ports: Ports): void {
  const parts = text.split(":");
  const last = parts.at(-1)!;
  const hostPort = parts.length > 1 ? parts.at(-2)! : "";
  let ip = parts.slice(0, -2).join(":");
  const [proto, containerPort] = splitProtocol(last);
  if (ip.startsWith("[")) {
    if (!ip.endsWith("]"))
      throw new Error(`invalid IP address ${ip}: address ${ip}:: missing ']' in address`);
    ip = ip.slice(1, -1);
  }
  if (ip !== "" && isIP(ip) === 0) throw new Error(`invalid IP address: ${ip}`);
  if (containerPort === "") throw new Error(`no port specified: ${text}<empty>`);
  const inside = parseRange(containerPort);
  if (!inside) throw new Error(`invalid containerPort: ${containerPort}`);
  const outside = hostPort === "" ? undefined : parseRange(hostPort);
  if (hostPort !== "" && !outside) throw new Error(`invalid hostPort: ${hostPort}`);
  const [start, end] = inside;
  if (outside && end - start !== outside[1] - outside[0] && end !== start)
    throw new Error(
      `invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`,
    );
  if (!["tcp", "udp", "sctp"].includes(proto.toLowerCase())) throw new Error(`invalid proto: ${proto}`);
  for (let offset = 0; offset <= end - start; offset++) {
    let HostPort = outside ? String(outside[0] + offset) : "";
    // One container port and a range on the host: the daemon picks one of the range.
    if (outside && start === end && outside[0] !== outside[1]) HostPort = `${HostPort}-${outside[1]}`;
    const key = `${start + offset}/${proto.toLowerCase()}`;
    ports.exposed[key] ??= {};
    const bindings = ports.bindings[key] ?? [];
    bindings.push({ HostIp: ip, HostPort });
    ports.bindings[key] = bindings;
  }
}

function exposeOne(text: string, ports: Ports): void {
  if (text.includes(":")) throw new Error(`invalid port format for --expose: ${text}`);
  const [proto, port] = splitProtocol(text);
  const range = parseRange(port);
  if (!range) throw new Error(`invalid range format for --expose: ${text}, error: ${rangeError(port)}`);
  for (let one = range[0]; one <= range[1]; one++) ports.exposed[`${one}/${proto}`] ??= {};
}

function splitProtocol(text: string): [proto: string, port: string] {
  const [port, proto] = cut(text, "/");
  if (port === "") return ["", ""];
  return [(proto ?? "").split("/")[0] || "tcp", port];
}

function parseRange(text: string): [start: number, end: number] | undefined {
  const [first, second] = text.split("-") as [string, string | undefined];
  if (!isPort(first) || (second !== undefined && !isPort(second))) return undefined;
  const [start, end] = [Number(first), Number(second ?? first)];
  return end < start ? undefined : [start, end];
}

function rangeError(text: string): string {
  if (text === "") return "empty string specified for ports";
  const bad = text.split("-").find((part) => !isPort(part));
  if (bad === undefined) return `invalid range specified for port: ${text}`;
  const reason = /^\d+$/.test(bad) ? "value out of range" : "invalid syntax";
  return `strconv.ParseUint: parsing ${JSON.stringify(bad)}: ${reason}`;
}
