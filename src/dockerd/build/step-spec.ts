import type { StepSpec } from "../../build/types.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { defaultProfile } from "../container/apparmor.ts";
import { completeHost, fullConfig, fullHostConfig } from "../container/defaults.ts";
import { seccompFor } from "../container/spec-input.ts";
import type { Daemon } from "../daemon.ts";
import { buildSpec } from "../spec/build.ts";
import { capabilitiesOf } from "../spec/capabilities.ts";
import { parseSecurityOptions } from "../spec/security.ts";

/** The runtime spec of a RUN: that of a container with the same settings, but for its environment, which is the step's. */
export function stepSpec(daemon: Daemon, step: StepSpec): Spec {
  const { resources = {} } = step;
  const host = fullHostConfig({
    NetworkMode: step.networkNamespace === undefined ? "host" : "bridge",
    Privileged: step.insecure,
    ShmSize: step.shmSize ?? 0,
    Ulimits: step.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    Memory: resources.memory ?? 0,
    MemorySwap: resources.memorySwap ?? 0,
    CpuShares: resources.cpuShares ?? 0,
    CpuPeriod: resources.cpuPeriod ?? 0,
    CpuQuota: resources.cpuQuota ?? 0,
    CpusetCpus: resources.cpusetCpus ?? "",
    CpusetMems: resources.cpusetMems ?? "",
    Init: false,
  });
  completeHost(host, daemon.config, daemon.facts.cgroupVersion);
  const security = parseSecurityOptions([], {
    // A build may need setuid programs: `no-new-privileges` of the daemon is for containers.
    noNewPrivileges: false,
    ...(daemon.config.seccompProfile === undefined ? {} : { seccompProfile: daemon.config.seccompProfile }),
  });
  const capabilities = capabilitiesOf(
    { privileged: step.insecure, add: [], drop: [] },
    daemon.facts.capabilities,
  );
  const spec = buildSpec({
    id: step.id,
    config: fullConfig({ Hostname: step.hostname, WorkingDir: step.cwd }),
    host,
    args: [...step.args],
    user: step.user,
    rootfs: "rootfs",
    ...(step.networkNamespace === undefined ? {} : { networkNamespace: step.networkNamespace }),
    shared: {},
    mounts: step.mounts.map((mount) => ({
      ...mount,
      recursive: true,
      propagation: mount.type === "bind" ? "rprivate" : "",
    })),
    security,
    ...(daemon.apparmor.supported && !step.insecure ? { apparmorProfile: defaultProfile } : {}),
    seccomp: seccompFor(security, capabilities, step.insecure),
    cgroupParent: step.cgroupParent,
    cgroupDriver: daemon.config.cgroupDriver,
    defaultUlimits: daemon.config.defaultUlimits,
    facts: daemon.facts,
  });
  spec.process!.env = [...step.env];
  return spec;
}
