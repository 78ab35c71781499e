/** Puts ranges, gateways and taken addresses with the subnets they belong to. */
import type { IpamConfig } from "../../engine/types.ts";
import { isIP } from "./ip.ts";

interface Network {
  base: bigint;
  bits: number;
  size: number;
}

export function assignIpam(
  subnets: readonly string[],
  ranges: readonly string[],
  gateways: readonly string[],
  auxiliary: Readonly<Record<string, string>>,
): IpamConfig[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw new Error("every ip-range or gateway must have a corresponding subnet");
  const configs = new Map<string, IpamConfig>();
  for (const subnet of subnets) {
    for (const other of configs.keys())
      if (contains(subnet, other) || contains(other, subnet))
        throw new Error("multiple overlapping subnet configuration is not supported");
    configs.set(subnet, { Subnet: subnet, AuxiliaryAddresses: {} });
  }
  const place = (what: string, address: string, set: (config: IpamConfig) => void) => {
    const subnet = [...configs.keys()].find((one) => contains(one, address));
    if (subnet === undefined) throw new Error(`no matching subnet for ${what} ${address}`);
    set(configs.get(subnet)!);
  };
  for (const range of ranges)
    place("range", range, (config) => {
      if (config.IPRange)
        throw new Error(
          `cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`,
        );
      config.IPRange = range;
    });
  for (const gateway of gateways)
    place("gateway", gateway, (config) => {
      if (config.Gateway)
        throw new Error(
          `cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`,
        );
      config.Gateway = gateway;
    });
  for (const [name, address] of Object.entries(auxiliary))
    place("aux-address", address, (config) => {
      config.AuxiliaryAddresses![name] = address;
    });
  return [...configs.values()];
}

function contains(subnet: string, other: string): boolean {
  const outer = parse(subnet);
  const inner = parse(other);
  if (outer.size !== inner.size || inner.bits < outer.bits) return false;
  const shift = BigInt(outer.size - outer.bits);
  return outer.base >> shift === inner.base >> shift;
}

function parse(text: string): Network {
  const [address, prefix] = text.split("/") as [string, string?];
  const family = isIP(address);
  if (family === 0) throw new Error(`invalid CIDR address: ${text}`);
  const size = family === 4 ? 32 : 128;
  const bits = prefix === undefined ? size : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > size) throw new Error(`invalid CIDR address: ${text}`);
  return { base: family === 4 ? number4(address) : number6(address), bits, size };
}

const number4 = (text: string) => text.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);

function number6(text: string): bigint {
  const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head, tail] = canonical.split("::") as [string, string?];
  const groups = (part: string | undefined) => (part ? part.split(":") : []);
  const [before, after] = [groups(head), groups(tail)];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array<string>(zeros).fill("0"), ...after].reduce(
    (sum, one) => (sum << 16n) | BigInt(`0x${one}`),
    0n,
  );
}
