import { cgroupLayout } from "../sys/cgroup/index.ts";
import { readSpec, rootfsOf } from "./bundle.ts";
import { containerDirectories, joinFile } from "./cgroup/manager.ts";
import { compileCreate } from "./compile/create.ts";
import { containerPasswd, environmentOf } from "./compile/environment.ts";
import { describe } from "./plan/describe.ts";
import { compileSeccomp } from "./seccomp/compile.ts";
import type { Warn } from "./types.ts";
import { validate } from "./validate.ts";
import { explainWindows, isForWindows } from "./windows.ts";

/** The plan for a bundle, one line per operation with the field it comes from. Nothing of it is done. */
export function explain(bundle: string, id = "example", warn: Warn = () => {}): string[] {
  const spec = readSpec(bundle);
  if (isForWindows(spec)) return explainWindows(spec);
  const rootfs = rootfsOf(spec, bundle);
  const layout = cgroupLayout();
  validate(spec, { rootfs, noPivot: false, unified: layout.mode === "v2", planned: true, warn });
  const cgroups = containerDirectories(layout, spec, id, false);
  const seccomp = spec.linux?.seccomp;
  // Descriptors are only numbers here: nothing is opened.
  const placeholder = 0;
  const unified = "" in cgroups ? { unified: placeholder } : {};
  const builder = compileCreate({
    spec,
    id,
    bundle,
    rootfs,
    layout,
    cgroups,
    descriptors: {
      fifo: placeholder,
      joinFiles: Object.entries(cgroups)
        .filter(([controller]) => controller !== "")
        .map(([controller, directory]) => ({ path: joinFile(layout, controller, directory) })),
      ...unified,
      ...(spec.process?.terminal && { console: placeholder }),
      ...(seccomp?.listenerPath && { listener: placeholder }),
      passed: [],
      filled: new Map(),
    },
    env: spec.process ? environmentOf(spec.process, () => containerPasswd(spec, rootfs), 0) : [],
    ...(seccomp && { filter: compileSeccomp(seccomp) }),
    noPivot: false,
    noNewKeyring: false,
    planned: true,
    warn,
  });
  const before = Object.entries(cgroups).map(
    ([controller, directory]) =>
      `runtime  make cgroup ${directory}  [linux.cgroupsPath${controller ? `, ${controller}` : ""}]`,
  );
  const width = Math.max(...builder.operations.map((operation) => (operation.role ?? "child").length));
  return [
    ...before,
    ...builder.operations.map(
      (operation) =>
        `${(operation.role ?? "child").padEnd(Math.max(width, 7))}  ${describe(operation)}${operation.reason ? `  [${operation.reason}]` : ""}`,
    ),
  ];
}
