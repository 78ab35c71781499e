import { chmodSync, chownSync } from "node:fs";
import type { Spec } from "../oci/runtime-spec.ts";

/** Root of a user namespace has to reach its root filesystem through the bundle; containerd gives it the group. */
export function shareWithMapped(bundle: string, spec: Spec | undefined): void {
  const mapped = spec?.linux?.gidMappings?.find(({ containerID }) => containerID === 0);
  if (!spec?.linux?.uidMappings?.length || !mapped) return;
  chownSync(bundle, 0, mapped.hostID);
  chmodSync(bundle, 0o710);
}
