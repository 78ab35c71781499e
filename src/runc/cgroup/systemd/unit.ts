/** Which unit of systemd a container is, and where systemd puts its cgroup. */
import { invalid } from "../../../base/errors.ts";
import type { Spec } from "../../../oci/runtime-spec.ts";

export interface Unit {
  /** `prefix-name.scope`, or the name itself when that is a slice. */
  name: string;
  /** The slice it lies in. */
  slice: string;
  /** Below the root of systemd's tree, with a leading slash. */
  path: string;
}

/**
 * The unit of a cgroupsPath of the form `slice:prefix:name`, which is how runc, containerd and Docker name
 * one; without a path it is `runc-ID.scope` in system.slice.
 */
export function unitOf(spec: Pick<Spec, "linux">, id: string): Unit {
  const path = spec.linux?.cgroupsPath;
  const parts = path ? path.split(":") : ["", "runc", id];
  if (parts.length !== 3)
    throw invalid(
      `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got ${JSON.stringify(path)} instead`,
    );
  const [slice = "", prefix = "", given = ""] = parts;
  const name = given.endsWith(".slice") ? given : `${prefix}-${given}.scope`;
  if (name.includes("/") || name.length > 255) throw invalid(`invalid systemd unit name: ${name}`);
  const parent = slice || "system.slice";
  return { name, slice: parent, path: `${slicePath(parent)}/${name}` };
}

/** systemd nests slices by the dashes in their names: a-b.slice lies in a.slice. "" is the root's. */
export function slicePath(slice: string): string {
  const stem = slice.slice(0, -".slice".length);
  if (!slice.endsWith(".slice") || slice.includes("/")) throw invalid(`invalid slice name: ${slice}`);
  if (stem === "-") return "";
  const parts = stem.split("-");
  if (parts.includes("")) throw invalid(`invalid slice name: ${slice}`);
  return `/${parts.map((_, index) => `${parts.slice(0, index + 1).join("-")}.slice`).join("/")}`;
}
