import { invalid } from "../base/errors.ts";
import { addressBytes, addressText } from "../sys/netlink/address.ts";

/** An IPv4 network as two numbers. */
export interface Subnet {
  /** The network's own address. */
  first: number;
  /** The broadcast address. */
  last: number;
  prefixLength: number;
}

export function ipv4Number(text: string): number {
  const bytes = addressBytes(text);
  if (bytes.length !== 4) throw invalid(`not an IPv4 address: ${text}`);
  return new DataView(bytes.buffer).getUint32(0);
}

export const ipv4Text = (value: number) =>
  addressText(Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255));

/** Parses a CIDR; `host` is the address as written, which need not be the network's. */
export function parseCidr(text: string): Subnet & { host: number } {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  const prefixLength = Number(match?.[2]);
  if (!match || prefixLength > 32) throw invalid(`invalid CIDR address: ${text}`);
  const host = ipv4Number(match[1]!);
  return { host, ...subnetAt(host, prefixLength) };
}

/** The network of that size an address lies in. */
export function subnetAt(address: number, prefixLength: number): Subnet {
  const size = 2 ** (32 - prefixLength);
  const first = address - (address % size);
  return { first, last: first + size - 1, prefixLength };
}

export const overlaps = (a: Subnet, b: Subnet) => a.first <= b.last && b.first <= a.last;
export const subnetText = (subnet: Subnet) => `${ipv4Text(subnet.first)}/${subnet.prefixLength}`;

/** Docker's local address pools: 172.17–31.0.0/16, then 192.168.0.0/16 in pieces of /20. */
export function* defaultPools(): Generator<Subnet> {
  for (let second = 17; second <= 31; second++) yield subnetAt(ipv4Number(`172.${second}.0.0`), 16);
  for (let third = 0; third < 256; third += 16) yield subnetAt(ipv4Number(`192.168.${third}.0`), 20);
}
