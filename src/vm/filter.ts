import type { Spec } from "../oci/runtime-spec.ts";
import { filterCache } from "../runc/create.ts";
import { cachedFilter } from "../runc/seccomp/cache.ts";

/** The compiled seccomp filter of a container that has one. */
export async function filterOf(spec: Spec) {
  const seccomp = spec.linux?.seccomp;
  return seccomp ? { filter: await cachedFilter(seccomp, filterCache()) } : {};
}
