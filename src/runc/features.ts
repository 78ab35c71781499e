/** What `runc features` tells (runtime-spec: features). */
import { existsSync } from "node:fs";
import { findProgram } from "../base/program.ts";
import { capabilityNames } from "../oci/capabilities.ts";
import { hookStages } from "../oci/runtime-spec.ts";
import { knownMountOptions } from "./compile/mount-options.ts";
import { namespaceFlag } from "./compile/namespaces.ts";

export function features(): object {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.1.0",
    hooks: hookStages,
    mountOptions: knownMountOptions(),
    linux: {
      namespaces: Object.keys(namespaceFlag).sort(),
      capabilities: capabilityNames,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: true },
      seccomp: {
        enabled: true,
        actions: [
          "SCMP_ACT_ALLOW",
          "SCMP_ACT_ERRNO",
          "SCMP_ACT_KILL",
          "SCMP_ACT_KILL_PROCESS",
          "SCMP_ACT_KILL_THREAD",
          "SCMP_ACT_LOG",
          "SCMP_ACT_NOTIFY",
          "SCMP_ACT_TRACE",
          "SCMP_ACT_TRAP",
        ],
        operators: [
          "SCMP_CMP_EQ",
          "SCMP_CMP_GE",
          "SCMP_CMP_GT",
          "SCMP_CMP_LE",
          "SCMP_CMP_LT",
          "SCMP_CMP_MASKED_EQ",
          "SCMP_CMP_NE",
        ],
        archs: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
      },
      // That it can be asked for, whatever the machine has.
      apparmor: { enabled: true },
      selinux: { enabled: existsSync("/sys/fs/selinux/enforce") },
      intelRdt: { enabled: false },
      mountExtensions: { idmap: { enabled: true } },
    },
    annotations: {
      "io.corten.runtime": "corten",
      "org.opencontainers.runc.checkpoint.enabled": String(findProgram("criu") !== undefined),
    },
  };
}
