import type { Role, Slot } from "../../monitor/ops.gen.ts";
import type { Mount, Spec } from "../../oci/runtime-spec.ts";
import type { CgroupLayout } from "../../sys/cgroup/index.ts";
import type { PlanBuilder, PlannedOperation } from "../plan/encode.ts";
import type { Warn } from "../types.ts";
import type { Namespaces } from "./namespaces.ts";

/** What the parts of the compiler share. */
export interface CompileContext {
  readonly spec: Spec;
  readonly id: string;
  readonly bundle: string;
  /** Absolute, on the host. */
  readonly rootfs: string;
  readonly namespaces: Namespaces;
  readonly layout: CgroupLayout;
  /** The container's cgroups by controller. */
  readonly cgroups: Readonly<Record<string, string>>;
  /** Only a plan is wanted: what it mounts may still be to be made. */
  readonly planned?: boolean;
  readonly warn: Warn;
  /** Operations before the clone: what only the runtime's side may open. */
  readonly stage: PlannedOperation[];
  readonly builder: PlanBuilder;
  /** tmpfs with tmpcopyup: made and filled beforehand, by their mount. */
  readonly filledTmpfs: ReadonlyMap<Mount, Slot>;
  /** The rootfs, once it is a mount of its own. */
  readonly root: Slot;
}

/** An operation of the child with the field it comes from. */
export function child(reason: string, operation: PlannedOperation): PlannedOperation {
  return { ...operation, role: "child" as Role, reason };
}

export function inStage(reason: string, operation: PlannedOperation): PlannedOperation {
  return { ...operation, role: "stage" as Role, reason };
}

export function parent(reason: string, operation: PlannedOperation): PlannedOperation {
  return { ...operation, role: "parent" as Role, reason };
}
