import type { HookState } from "../oci/runtime-spec.ts";
import { specVersion } from "../oci/runtime-spec.ts";
import { readState, statusOf } from "./state-store.ts";
import type { State, StateReport } from "./types.ts";

/** What `runc state` tells of a container (runtime-spec: State). */
export function state(root: string, id: string): StateReport {
  return reportOf(root, readState(root, id));
}

export function reportOf(root: string, kept: State): StateReport {
  const status = statusOf(root, kept);
  const { annotations } = kept.spec;
  return {
    ociVersion: kept.spec.ociVersion || specVersion,
    id: kept.id,
    pid: status === "stopped" ? 0 : kept.pid,
    status,
    bundle: kept.bundle,
    rootfs: kept.rootfs,
    created: kept.created,
    ...(annotations && { annotations }),
    owner: "",
  };
}

/** The state as hooks get it. */
export function hookStateOf(root: string, kept: State): HookState {
  const { ociVersion, id, pid, status, bundle, annotations } = reportOf(root, kept);
  return { ociVersion, id, status, pid, bundle, ...(annotations && { annotations }) };
}
