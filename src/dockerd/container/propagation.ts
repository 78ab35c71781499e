import { readFileSync } from "node:fs";
import { CortenError, invalid } from "../../base/errors.ts";
import { mountHolding } from "../../base/mountinfo.ts";
import type { MountRecord } from "./container.ts";

/**
 * Docker's condition for binds that take part in propagation: what they are of is on a mount that does. Without it the
 * kernel would make a bind that never hears of anything.
 */
export function checkPropagation(
  mounts: ReadonlyArray<Pick<MountRecord, "type" | "source" | "propagation">>,
  dataRoot: string,
  mountinfo: () => string = () => readFileSync("/proc/self/mountinfo", "utf8"),
): void {
  for (const { type, source, propagation } of mounts) {
    if (type !== "bind" || !/^r?(shared|slave)$/.test(propagation)) continue;
    const { mountPoint, shared, slave } = mountHolding(source, mountinfo());
    if (propagation.endsWith("shared") && !shared) throw refused(source, mountPoint, "a shared mount");
    // The daemon's own root is bound as a slave by default, whatever it is on.
    if (propagation.endsWith("slave") && !shared && !slave && !touches(source, dataRoot))
      throw refused(source, mountPoint, "a shared or slave mount");
  }
}

/** What holds the daemon's root, or is in it, is bound as nothing that would keep its mounts in use. */
export function refuseDaemonRoot(
  plans: ReadonlyArray<Pick<MountRecord, "type" | "source" | "propagation" | "mode">>,
  dataRoot: string,
): void {
  for (const { type, source, propagation, mode } of plans) {
    if (type !== "bind" || !touches(source, dataRoot) || /^r(slave|shared)$/.test(propagation)) continue;
    // Docker has a default of its own here.
    if (propagation === "rprivate" && !mode.includes("rprivate")) continue;
    throw invalid(
      `invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: ${JSON.stringify(dataRoot)}, bind mount source: ${JSON.stringify(source)}, propagation: ${JSON.stringify(propagation)}`,
    );
  }
}

const refused = (source: string, mountPoint: string, kind: string) =>
  new CortenError("unknown", `path ${source} is mounted on ${mountPoint} but it is not ${kind}`);

/** True when one is in the other, by their texts, as Docker has it. */
export const touches = (source: string, root: string): boolean =>
  source.startsWith(root) || root.startsWith(source);
