/** The capability sets of a process. */
import { readFileSync } from "node:fs";
import { capabilityNames } from "../../oci/capabilities.ts";
import type { LinuxCapabilities } from "../../oci/runtime-spec.ts";

export interface CapabilityMasks {
  bounding: bigint;
  effective: bigint;
  permitted: bigint;
  inheritable: bigint;
  ambient: bigint;
}

/** Names to a mask; those the kernel does not know are given to `unknown`. */
export function capabilityMask(
  names: readonly string[] | undefined,
  unknown: (name: string) => void,
): bigint {
  let mask = 0n;
  for (const name of names ?? []) {
    const number = capabilityNames.indexOf(name.toUpperCase());
    if (number < 0) unknown(name);
    else mask |= 1n << BigInt(number);
  }
  return mask;
}

let status: string | undefined;

/** A set of /proc/self/status (`CapBnd`, `CapEff` …). None of ours ever changes its own. */
export function ownCapabilities(set: "CapBnd" | "CapEff" | "CapPrm"): bigint {
  status ??= readFileSync("/proc/self/status", "utf8");
  const line = status.match(new RegExp(`^${set}:\\s*([0-9a-f]+)`, "m"));
  return BigInt(`0x${line?.[1] ?? "0"}`);
}

export const hasCapability = (mask: bigint, name: string): boolean =>
  (mask & (1n << BigInt(capabilityNames.indexOf(name)))) !== 0n;

/**
 * The masks of a process, cut to what we can give: a capability outside of our bounding set cannot be had,
 * and asking for it would fail the whole container (as it does with runc). Each is told to `warn`.
 */
export function capabilityMasks(
  capabilities: LinuxCapabilities,
  available: bigint,
  warn: (message: string) => void,
): CapabilityMasks {
  const unknown = new Set<string>();
  const missing = new Set<string>();
  const mask = (names: readonly string[] | undefined) => {
    const wanted = capabilityMask(names, (name) => unknown.add(name));
    for (const [number, name] of capabilityNames.entries())
      if ((wanted & ~available & (1n << BigInt(number))) !== 0n) missing.add(name);
    return wanted & available;
  };
  const permitted = mask(capabilities.permitted);
  const inheritable = mask(capabilities.inheritable);
  const masks = {
    bounding: mask(capabilities.bounding),
    // The kernel refuses what breaks its own order of the sets; `runc spec` itself asks for such ambient ones.
    effective: mask(capabilities.effective) & permitted,
    permitted,
    inheritable,
    ambient: mask(capabilities.ambient) & permitted & inheritable,
  };
  const list = (names: Set<string>) => [...names].sort().join(", ");
  if (unknown.size > 0) warn(`ignoring unknown or unavailable capabilities: [${list(unknown)}]`);
  if (missing.size > 0)
    warn(`capabilities outside of the bounding set of this machine are left out: ${list(missing)}`);
  return masks;
}
