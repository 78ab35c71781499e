import { readFileSync } from "node:fs";
import { invalid } from "../../base/errors.ts";
import {
  capabilitiesOfMask,
  capabilityName,
  capabilityNames,
  defaultCapabilities,
} from "../../oci/capabilities.ts";

let bounding: ReadonlySet<string> | undefined;

/** Our own bounding set: an OCI runtime fails when asked for more. */
export function ownCapabilities(): ReadonlySet<string> {
  if (!bounding) {
    const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
    bounding = capabilitiesOfMask(mask);
  }
  return bounding;
}

export interface CapabilityWish {
  privileged: boolean;
  add: readonly string[];
  drop: readonly string[];
  /** What is there before; absent: containerd's. */
  defaults?: readonly string[];
}

/** `ALL` counts first, single names after it, whichever list they are in; what we have not ourselves is left out. */
export function capabilitiesOf(
  wish: CapabilityWish,
  available: ReadonlySet<string> = ownCapabilities(),
): string[] {
  if (wish.privileged) return capabilityNames.filter((name) => available.has(name));
  const add = wish.add.map(fullName);
  const drop = wish.drop.map(fullName);
  let set = new Set(wish.defaults?.map(fullName) ?? defaultCapabilities);
  if (add.includes("ALL")) set = new Set(capabilityNames);
  if (drop.includes("ALL")) set = new Set();
  for (const name of add) if (name !== "ALL") set.add(name);
  for (const name of drop) set.delete(name);
  return [...set].filter((name) => available.has(name));
}

export function fullName(name: string): string {
  const known = capabilityName(name);
  if (known === undefined) throw invalid(`unknown capability ${JSON.stringify(name)}`);
  return known;
}
