/** Legacy links (`--link` on the default bridge): lines in the hosts file, and variables about the other's ports. */
import { readFileSync, writeFileSync } from "node:fs";
import { CortenError, conflict, invalid, notFound } from "../../base/errors.ts";
import type { HostConfig } from "../../engine/types.ts";
import type { Daemon } from "../daemon.ts";
import type { Container, ContainerRecord } from "./container.ts";
import { hostsPath } from "./paths.ts";

interface Link {
  child: Container;
  alias: string;
}

/** Takes names for ids, so that a rename of the other does not end the link. */
export function resolveLinks(daemon: Daemon, host: HostConfig): void {
  if (!host.Links || host.Links.length === 0) return;
  if (!["bridge", "default"].includes(host.NetworkMode)) return;
  host.Links = host.Links.map((text) => {
    const { name, alias } = parseLink(text);
    const child = daemon.containers.find(name);
    if (!child) throw invalid(`could not get container for ${name}: No such container: ${name}`);
    return `${child.id}:${alias}`;
  });
}

/** `name`, `name:alias`, or as inspect shows it, `/name:/parent/alias`. */
export function parseLink(text: string): { name: string; alias: string } {
  const [name = "", alias = name, ...more] = text.split(":");
  if (name === "" || alias === "" || more.length > 0) throw invalid(`bad format for links: ${text}`);
  return { name: name.replace(/^\//, ""), alias: alias.replace(/^.*\//, "") };
}

/** `HostConfig.Links` as inspect shows it. */
export const shownLinks = (daemon: Daemon, record: ContainerRecord): string[] | null => {
  const links = linksOf(daemon, record).map(({ child, alias }) => `/${child.name}:/${record.name}/${alias}`);
  return links.length === 0 ? null : links;
};

function linksOf(daemon: Daemon, { host }: ContainerRecord): Link[] {
  return (host.Links ?? []).flatMap((text) => {
    const { name, alias } = parseLink(text);
    const child = daemon.containers.byId(name);
    return child ? [{ child, alias }] : [];
  });
}

/** `docker rm --link parent/alias`: the link goes, both containers stay. */
export function removeLink(daemon: Daemon, text: string): void {
  const bare = text.replace(/^\//, "");
  const at = bare.lastIndexOf("/");
  if (at < 0) throw conflict("Conflict, cannot remove the default link name of the container");
  const [parentName, alias] = [bare.slice(0, at), bare.slice(at + 1)];
  const parent = daemon.containers.find(parentName);
  if (!parent) throw notFound(`Cannot get parent /${parentName} for link ${text}`);
  const { host } = parent.record;
  const rest = (host.Links ?? []).filter((link) => parseLink(link).alias !== alias);
  if (rest.length === (host.Links ?? []).length) throw notFound(`No such link: ${text}`);
  host.Links = rest.length === 0 ? null : rest;
  daemon.containers.save(parent);
}

const addressOf = (child: Container): string => child.record.networks["bridge"]?.IPAddress ?? "";

/** Fails when one of the others does not run: its address is not known then. */
export function checkLinks(daemon: Daemon, record: ContainerRecord): void {
  for (const { child, alias } of linksOf(daemon, record)) {
    if (!child.state.running)
      throw new CortenError(
        "unknown",
        `Cannot link to a non running container: /${child.name} AS /${record.name}/${alias}`,
      );
    if (addressOf(child) === "")
      throw new CortenError("unknown", `container ${child.id} not attached to default bridge network`);
  }
}

const namesOf = ({ child, alias }: Link): string =>
  [alias, child.record.config.Hostname, ...(alias === child.name ? [] : [child.name])].join(" ");

/** Lines of the hosts file, in the shape of extra hosts. */
export const linkHosts = (daemon: Daemon, record: ContainerRecord): string[] =>
  linksOf(daemon, record).flatMap((link) => {
    const address = addressOf(link.child);
    return address === "" ? [] : [`${namesOf(link)}:${address}`];
  });

/** A container has another address than in its last run: those that link to it hear of it. */
export function tellParents(daemon: Daemon, child: Container): void {
  for (const parent of daemon.containers.all()) {
    if (!parent.state.running || parent === child) continue;
    for (const link of linksOf(daemon, parent.record)) {
      if (link.child !== child) continue;
      const path = hostsPath(daemon, parent.id);
      const names = namesOf(link);
      const lines = readFileSync(path, "utf8")
        .split("\n")
        .map((line) => (line.endsWith(`\t${names}`) ? `${addressOf(child)}\t${names}` : line));
      // In place: the file is mounted.
      writeFileSync(path, lines.join("\n"));
    }
  }
}

/** What Docker tells a process about the containers it is linked to. */
export function linkEnvironment(daemon: Daemon, record: ContainerRecord): string[] {
  return linksOf(daemon, record).flatMap(({ child, alias }) => {
    const { config } = child.record;
    return variables(
      `/${record.name}/${alias}`,
      addressOf(child),
      Object.keys(config.ExposedPorts ?? {}),
      config.Env ?? [],
    );
  });
}

/** Exported for its test: the variables of one link. */
export function variables(
  name: string,
  address: string,
  exposed: readonly string[],
  environment: readonly string[],
): string[] {
  const prefix = name
    .slice(name.lastIndexOf("/") + 1)
    .toUpperCase()
    .replaceAll("-", "_");
  const ports = exposed
    .map((text) => {
      const [port = "", protocol = "tcp"] = text.split("/");
      return { port: Number(port), protocol };
    })
    .sort(
      (a, b) =>
        rank(a.protocol) - rank(b.protocol) || a.protocol.localeCompare(b.protocol) || a.port - b.port,
    );
  const out: string[] = [];
  const [first] = ports;
  if (first) out.push(`${prefix}_PORT=${first.protocol}://${address}:${first.port}`);
  for (const { port, protocol } of ports) {
    const own = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
    out.push(
      `${own}=${protocol}://${address}:${port}`,
      `${own}_ADDR=${address}`,
      `${own}_PORT=${port}`,
      `${own}_PROTO=${protocol}`,
    );
  }
  for (const range of ranges(ports)) {
    const own = `${prefix}_PORT_${range.first}_${range.protocol.toUpperCase()}`;
    out.push(
      `${own}_START=${range.protocol}://${address}:${range.first}`,
      `${own}_PORT_START=${range.first}`,
    );
    out.push(`${own}_END=${range.protocol}://${address}:${range.last}`, `${own}_PORT_END=${range.last}`);
  }
  out.push(`${prefix}_NAME=${name}`);
  for (const entry of environment) {
    const at = entry.indexOf("=");
    const key = entry.slice(0, at);
    if (at > 0 && key !== "HOME" && key !== "PATH") out.push(`${prefix}_ENV_${key}=${entry.slice(at + 1)}`);
  }
  return out;
}

const rank = (protocol: string): number => (protocol === "tcp" ? 0 : 1);

/** Ports that follow each other, two or more. */
function ranges(ports: ReadonlyArray<{ port: number; protocol: string }>) {
  const found: Array<{ first: number; last: number; protocol: string }> = [];
  for (const { port, protocol } of ports) {
    const before = found.at(-1);
    if (before?.protocol === protocol && before.last === port - 1) before.last = port;
    else found.push({ first: port, last: port, protocol });
  }
  return found.filter(({ first, last }) => last > first);
}
