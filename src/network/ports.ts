import { readFileSync } from "node:fs";
import { CortenError, internal, invalid } from "../base/errors.ts";
import { describeErrno, rawSyscall } from "../sys/libc.ts";
import { addressBytes } from "../sys/netlink/address.ts";
import type { PortBinding, PortRequest, Protocol } from "./types.ts";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0o2004000; // close-on-exec, non-blocking
const IPPROTO_SCTP = 132;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const EPROTONOSUPPORT = 93;
const ESOCKTNOSUPPORT = 94;

const int = (value: number) => new Uint8Array(new Int32Array([value]).buffer);
export const anyAddress = (ip: string) => ip === "0.0.0.0" || ip === "::";
/** `[::1]:80` or `0.0.0.0:80`. */
export const hostPortText = (ip: string, port: number) =>
  ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;

/**
 * The host's ports held by this engine. Each is a bound socket, so that no other program of the host takes a
 * port whose traffic the rules would send into a container. The rules outlive a killed engine, the
 * sockets do not: `reserve` is called again for all of them when it comes back.
 */
export class PortReservations {
  readonly #held = new Map<string, number>();
  #lastEphemeral: number | undefined;

  #key = (protocol: Protocol, ip: string, port: number) => `${protocol}/${ip}:${port}`;

  /** Whether this engine has given the port to another endpoint. */
  #isOurs(protocol: Protocol, ip: string, port: number): boolean {
    if (this.#held.has(this.#key(protocol, ip, port))) return true;
    const any = ip.includes(":") ? "::" : "0.0.0.0";
    if (ip !== any) return this.#held.has(this.#key(protocol, any, port));
    const suffix = `:${port}`;
    for (const key of this.#held.keys()) {
      if (!key.startsWith(`${protocol}/`) || !key.endsWith(suffix)) continue;
      const held = key.slice(protocol.length + 1, -suffix.length);
      if (held.includes(":") === ip.includes(":")) return true;
    }
    return false;
  }

  /** Takes the port a request wants, or one it leaves us to choose. Throws with Docker's texts, see `bindError`. */
  reserve(request: PortRequest, containerIp: string): PortBinding {
    const hostIp = request.hostIp ? canonicalIp(request.hostIp) : "0.0.0.0";
    const { containerPort, protocol, hostPort } = request;
    const binding = (port: number): PortBinding => ({ containerPort, protocol, hostIp, hostPort: port });
    if (typeof hostPort === "number" && hostPort > 0) {
      this.take(binding(hostPort), containerIp);
      return binding(hostPort);
    }
    const { first, last } = typeof hostPort === "object" ? hostPort : ephemeralRange();
    if (first > last) throw invalid(`invalid host port range ${first}-${last}`);
    const size = last - first + 1;
    // A range is searched from its start, as Docker does; ephemeral ports go on from the last one given.
    const start =
      typeof hostPort === "object" ? first : Math.max(first, (this.#lastEphemeral ?? first - 1) + 1);
    for (let step = 0; step < size; step++) {
      const port = first + ((start - first + step) % size);
      if (this.#isOurs(protocol, hostIp, port) || this.#bind(protocol, hostIp, port) < 0) continue;
      if (typeof hostPort !== "object") this.#lastEphemeral = port;
      return binding(port);
    }
    if (typeof hostPort === "object") throw alreadyAllocated(hostIp, first);
    throw new CortenError("resource_exhausted", "all ports are allocated");
  }

  /** Takes exactly this port. */
  take(binding: PortBinding, containerIp: string): void {
    const { protocol, hostIp, hostPort } = binding;
    if (this.#isOurs(protocol, hostIp, hostPort)) throw alreadyAllocated(hostIp, hostPort);
    const result = this.#bind(protocol, hostIp, hostPort);
    if (result >= 0) return;
    throw internal(
      `failed to bind host port for ${hostPortText(hostIp, hostPort)}:${containerIp}:${binding.containerPort}/${protocol}: ${describeErrno(-result)}`,
    );
  }

  release(binding: PortBinding): void {
    const key = this.#key(binding.protocol, binding.hostIp, binding.hostPort);
    const fd = this.#held.get(key);
    if (fd !== undefined && fd >= 0) rawSyscall("close", fd);
    this.#held.delete(key);
  }

  close(): void {
    for (const fd of this.#held.values()) if (fd >= 0) rawSyscall("close", fd);
    this.#held.clear();
  }

  /** 0, or the negative errno. */
  #bind(protocol: Protocol, ip: string, port: number): number {
    const key = this.#key(protocol, ip, port);
    if (ip.includes(":")) {
      // The relay's own listening socket is the reservation (relay.ts).
      this.#held.set(key, -1);
      return 0;
    }
    const type = protocol === "udp" ? SOCK_DGRAM : SOCK_STREAM;
    const fd = rawSyscall("socket", AF_INET, type | SOCK_FLAGS, protocol === "sctp" ? IPPROTO_SCTP : 0);
    if (fd === -EPROTONOSUPPORT || fd === -ESOCKTNOSUPPORT) {
      // A kernel without SCTP sockets still forwards SCTP; nobody else could bind the port either.
      this.#held.set(key, -1);
      return 0;
    }
    if (fd < 0) return fd;
    // What a server would set: a port whose last connections are in TIME_WAIT is free. Listening (without ever
    // accepting) is what makes the reservation exclusive then.
    if (protocol !== "udp") rawSyscall("setsockopt", fd, SOL_SOCKET, SO_REUSEADDR, int(1), 4);
    else rawSyscall("setsockopt", fd, SOL_SOCKET, SO_RCVBUF, int(0), 4);
    const address = socketAddress(ip, port);
    let result = rawSyscall("bind", fd, address, address.length);
    if (result === 0 && protocol !== "udp") result = rawSyscall("listen", fd, 0);
    if (result < 0) {
      rawSyscall("close", fd);
      return result;
    }
    this.#held.set(key, fd);
    return 0;
  }
}

/** struct sockaddr_in. */
function socketAddress(ip: string, port: number): Uint8Array {
  const out = new Uint8Array(16);
  out.set([AF_INET, 0, port >> 8, port & 255]);
  out.set(addressBytes(ip), 4);
  return out;
}

function canonicalIp(text: string): string {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  addressBytes(bare);
  return bare;
}

function alreadyAllocated(ip: string, port: number): CortenError {
  return internal(`Bind for ${hostPortText(ip, port)} failed: port is already allocated`);
}

/** Docker's wording around whatever went wrong with an endpoint's ports. */
export function bindError(endpointName: string, endpointId: string, cause: unknown): CortenError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof CortenError ? cause.code : "internal";
  return new CortenError(
    code,
    `driver failed programming external connectivity on endpoint ${endpointName} (${endpointId}): ${reason}`,
    { cause },
  );
}

/** The kernel's own range for outgoing connections, as Docker; its former fixed range when unreadable. */
function ephemeralRange(): { first: number; last: number } {
  try {
    const [first, last] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/);
    if (Number(first) > 0 && Number(last) >= Number(first))
      return { first: Number(first), last: Number(last) };
  } catch {
    // Fall through.
  }
  return { first: 49153, last: 65535 };
}
