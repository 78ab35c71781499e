import { invalid } from "../../base/errors.ts";
import { capabilityName, capabilityNames, defaultCapabilities } from "../../oci/capabilities.ts";

/** `net_admin`, `CAP_NET_ADMIN` → `CAP_NET_ADMIN`; `ALL` stays. */
export function normalizeCapability(name: string): string {
  const known = capabilityName(name);
  if (known !== undefined) return known;
  const upper = name.trim().toUpperCase();
  throw invalid(`unknown capability: ${JSON.stringify(upper.startsWith("CAP_") ? upper : `CAP_${upper}`)}`);
}

/**
 * The capabilities of a container, of those the kernel would grant us. `available` is our bounding set: asking for
 * more makes an OCI runtime fail.
 */
export function capabilitiesOf(
  wanted: { privileged: boolean; add: readonly string[]; drop: readonly string[] },
  available: ReadonlySet<string>,
): string[] {
  if (wanted.privileged) return capabilityNames.filter((name) => available.has(name));
  const add = wanted.add.map(normalizeCapability);
  const drop = new Set(wanted.drop.map(normalizeCapability));
  let set: string[];
  if (add.includes("ALL")) set = capabilityNames.filter((name) => !drop.has(name));
  else {
    const base = drop.has("ALL") ? [] : defaultCapabilities.filter((name) => !drop.has(name));
    set = [...base, ...add.filter((name) => !base.includes(name) && !drop.has(name))];
    if (drop.has("ALL")) set = add.filter((name, index) => add.indexOf(name) === index);
  }
  return set.filter((name) => available.has(name));
}
