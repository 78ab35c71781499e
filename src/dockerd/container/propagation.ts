import { readFileSync } from "node:fs";
import { CortenError, invalid } from "../../base/errors.ts";
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
    const { mountPoint, shared, slave } = mountOf(source, mountinfo());
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

/** The mount that holds a path: of equal ones the last, which lies on top. */
function mountOf(path: string, mountinfo: string): { mountPoint: string; shared: boolean; slave: boolean } {
  let best = { mountPoint: "/", shared: false, slave: false };
  for (const line of mountinfo.split("\n")) {
    const [head = "", tail] = line.split(" - ");
    if (tail === undefined) continue;
    const fields = head.split(" ");
    const mountPoint = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const within = mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (!within || mountPoint.length < best.mountPoint.length) continue;
    const optional = fields.slice(6);
    best = {
      mountPoint,
      shared: optional.some((field) => field.startsWith("shared:")),
      slave: optional.some((field) => field.startsWith("master:")),
    };
  }
  return best;
}
