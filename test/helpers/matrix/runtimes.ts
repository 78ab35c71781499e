import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { corten } from "../engine.ts";
import type { EngineName, Feature, Runtime } from "./types.ts";

/** crun refuses a hybrid machine whose cgroup2 has controllers beside v1's. */
function hybrid(): boolean {
  try {
    return readFileSync("/sys/fs/cgroup/unified/cgroup.controllers", "utf8").trim() !== "";
  } catch {
    return false;
  }
}

/** Why a whole row is not run; undefined when it is. The one place to switch a runtime on. */
export function notRun(engine: EngineName, runtime: Runtime): string | undefined {
  if (runtime === "crun" && hybrid()) return "crun itself refuses this machine's hybrid cgroups";
  if (runtime === "vm" && !engine.startsWith("our ")) return "a runtime of our containerd";
  if (programOf(runtime) === undefined) return `${runtime} is not installed`;
  if (engine === "containerd 1.6's CRI" && runtime === "runsc")
    return "hangs: gVisor's pods need its own shim there, which Debian has not";
  if (engine === "podman 4.3" && runtime !== "ours")
    return "podman's limits need CAP_SYS_RESOURCE, which this machine has not";
  return undefined;
}

/** What a runtime, or an engine whatever the runtime, does not offer. */
export function notOffered(engine: EngineName, runtime: Runtime, feature: Feature): boolean {
  // gVisor runs with --ignore-cgroups here: it counts and limits nothing.
  if (runtime === "runsc" && (feature === "limits" || feature === "stats")) return true;
  // There is no checkpoint of a machine; to find that out would take one more.
  if (runtime === "vm" && feature === "checkpoint") return true;
  return feature === "pause" && engine.endsWith("crictl)")
    ? true
    : feature === "pause" && engine.endsWith("CRI");
}

const programOf = (runtime: Runtime) =>
  runtime === "ours"
    ? corten[0]
    : (Bun.which(runtime === "vm" ? "qemu-system-x86_64" : runtime, {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      }) ?? undefined);

/** A file to execute for each runtime, where an engine wants a path; ours is told to those that do not have it built in. */
export function writePrograms(directory: string): Record<Exclude<Runtime, "vm">, string> {
  const script = (name: string, command: string) => {
    const path = join(directory, `${name}-program`);
    writeFileSync(path, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    return path;
  };
  return {
    ours: script("corten", `${corten.join(" ")} runc`),
    runc: programOf("runc") ?? "/usr/sbin/runc",
    crun: programOf("crun") ?? "/usr/bin/crun",
    // No KVM for guests here; and Debian's gVisor takes a newer kernel's network namespaces for the host's.
    runsc: script("runsc", "/usr/bin/runsc --platform=ptrace --ignore-cgroups --network=none"),
  };
}
