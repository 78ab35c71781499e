import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { CortenError, invalid } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { rawSyscall } from "../sys/libc.ts";
import { macText } from "../sys/netlink/address.ts";
import { addBridge, deleteLink, findLink, isMissingLink, setLink } from "../sys/netlink/link.ts";
import { addAddress, deleteAddress, listAddresses, listRoutes } from "../sys/netlink/route.ts";
import type { NetlinkSocket } from "../sys/netlink/socket.ts";
import { defaultPools, ipv4Number, ipv4Text, overlaps, parseCidr, type Subnet, subnetAt } from "./subnet.ts";

const LOCK_EX = 2;
const SHORTEST_LOCAL_PREFIX = 8;

/**
 * Runs `work` while no other engine in this network namespace does the same: the choice of a subnet and the
 * bridge that takes it must not interleave. The lock is on the namespace's own inode, so that there is
 * no file to agree on or to leave behind; it is held for a few milliseconds.
 */
export function withNamespaceLock<T>(work: () => T): T {
  const fd = openSync("/proc/self/ns/net", "r");
  try {
    // Should a kernel not lock these, the worst is what was before: two engines choosing the same.
    rawSyscall("flock", fd, LOCK_EX);
    return work();
  } finally {
    closeSync(fd);
  }
}

/** What the host's addresses and routes already cover, leaving out one link. */
function occupied(socket: NetlinkSocket, exceptLink?: number): Subnet[] {
  const found: Subnet[] = [];
  for (const { link, address, prefixLength } of listAddresses(socket)) {
    if (link !== exceptLink && !address.includes(":"))
      found.push(subnetAt(ipv4Number(address), prefixLength));
  }
  for (const { link, destination } of listRoutes(socket)) {
    if (!destination || link === exceptLink || destination.address.includes(":")) continue;
    // A VPN's 0.0.0.0/1 and 128.0.0.0/1 are a default route in disguise.
    if (destination.prefixLength < SHORTEST_LOCAL_PREFIX) continue;
    found.push(subnetAt(ipv4Number(destination.address), destination.prefixLength));
  }
  return found;
}

/** The first of Docker's default pools that meets neither the host's networks nor `others`. */
export function freeSubnet(socket: NetlinkSocket, others: readonly Subnet[]): Subnet {
  const taken = [...occupied(socket), ...others];
  for (const pool of defaultPools()) if (!taken.some((used) => overlaps(used, pool))) return pool;
  throw new CortenError("resource_exhausted", "all predefined address pools have been fully subnetted");
}

/** Whether a subnet meets one of the host's networks other than the link of that index. */
export function collides(socket: NetlinkSocket, subnet: Subnet, exceptLink?: number): boolean {
  return occupied(socket, exceptLink).some((used) => overlaps(used, subnet));
}

/**
 * Makes the bridge, or adopts it, so that it is up with that address; other IPv4 addresses go unless it is
 * `foreign`, made by the administrator. Returns its index.
 */
export function ensureBridge(
  socket: NetlinkSocket,
  bridge: { name: string; gateway: string; subnet: string; mtu: number; foreign?: boolean },
): number {
  if (!/^[\w.-]{1,15}$/.test(bridge.name)) throw invalid(`invalid bridge name: ${bridge.name}`);
  const existing = findLink(socket, bridge.name);
  if (existing && existing.kind !== "bridge")
    throw new CortenError("failed_precondition", `interface ${bridge.name} exists and is not a bridge`);
  if (!existing) {
    // A fixed address of its own: otherwise it changes with every port that comes and goes.
    const mac = macText(Uint8Array.of(2, 0x42, ...randomBytes(4)));
    socket.transact([addBridge({ name: bridge.name, mac })]);
  }
  const index = existing?.index ?? findLink(socket, bridge.name)?.index;
  if (index === undefined) throw new CortenError("aborted", `bridge ${bridge.name} vanished`);
  const { prefixLength } = parseCidr(bridge.subnet);
  const addresses = listAddresses(socket).filter(
    ({ link, address }) => link === index && !address.includes(":"),
  );
  const isOurs = (one: { address: string; prefixLength: number }) =>
    one.address === bridge.gateway && one.prefixLength === prefixLength;
  const has = addresses.some(isOurs);
  const stale = bridge.foreign ? [] : addresses.filter((one) => !isOurs(one));
  if (!existing?.up) socket.attempt([setLink(index, { noIpv6LinkLocal: true })]);
  socket.transact([
    ...stale.map(deleteAddress),
    ...(has ? [] : [addAddress({ link: index, address: bridge.gateway, prefixLength })]),
    // Set on the bridge that is there, or it follows the smallest of its ports.
    ...(existing?.up && existing.mtu === bridge.mtu ? [] : [setLink(index, { mtu: bridge.mtu, up: true })]),
  ]);
  // Answers to what was published on 127.0.0.1 come in on the bridge; the firewall's guard chain keeps out the rest.
  writeSysctl(`net/ipv4/conf/${bridge.name}/route_localnet`, "1");
  return index;
}

/** The IPv4 address (CIDR) an existing interface has. */
export function addressOf(socket: NetlinkSocket, name: string): string | undefined {
  const index = findLink(socket, name)?.index;
  const found = listAddresses(socket).find(({ link, address }) => link === index && !address.includes(":"));
  return found && `${found.address}/${found.prefixLength}`;
}

export function removeBridge(socket: NetlinkSocket, name: string): void {
  try {
    socket.transact([deleteLink(name)]);
  } catch (error) {
    if (!isMissingLink(error)) throw error;
  }
}

/** Without it nothing leaves a bridge. Docker switches it on as well, and like Docker we leave it on. */
export function enableForwarding(): void {
  writeSysctl("net/ipv4/ip_forward", "1");
}

function writeSysctl(name: string, value: string): void {
  const path = `/proc/sys/${name}`;
  try {
    if (readFileSync(path, "utf8").trim() !== value) writeFileSync(path, value);
  } catch (error) {
    // A read-only /proc/sys (we are in a container ourselves): works if whoever started us set it.
    log.warn(`cannot set ${name.replaceAll("/", ".")} to ${value}`, { error: String(error) });
  }
}

export const gatewayOf = (subnet: Subnet) => ipv4Text(subnet.first + 1);
export const hostHasIpv6 = () => existsSync("/proc/sys/net/ipv6");
