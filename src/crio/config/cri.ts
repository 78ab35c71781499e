/** CRI-O's settings as the verbs of pods and containers want them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CriConfig, defaultConfig, milliseconds } from "../../cri/config.ts";
import { crioDefault } from "../../cri/spec/apparmor.ts";
import type { CrioConfig } from "./types.ts";

/** What CRI-O's runtimes are called in a runtime handler's `type`. */
export const runtimeType = "oci";

export function criConfig(config: CrioConfig): CriConfig {
  const { api, runtime, image, network } = config;
  const base = defaultConfig("", "");
  return {
    ...base,
    // Beside what podman and CRI-O keep there, whose layout is another.
    root: join(config.root, "corten/crio"),
    state: join(config.runroot, "corten/crio"),
    snapshotter: config.storage_driver,
    sandboxImage: image.pause_image,
    cni: {
      ...base.cni,
      binDirs: network.plugin_dirs.map((dir) => dir.replace(/(.)\/+$/, "$1")),
      confDir: network.network_dir.replace(/(.)\/+$/, "$1"),
      ...(network.cni_default_network === "" ? {} : { network: network.cni_default_network }),
    },
    defaultRuntime: runtime.default_runtime,
    runtimes: Object.fromEntries(
      Object.entries(runtime.runtimes).map(([name, table]) => [
        name,
        {
          type: runtimeType,
          ...(table.runtime_path === "" ? {} : { binaryName: table.runtime_path }),
          ...(table.runtime_root === "" ? {} : { root: table.runtime_root }),
          systemdCgroup: runtime.cgroup_manager === "systemd",
          privilegedWithoutHostDevices: table.privileged_without_host_devices,
        },
      ]),
    ),
    stream: {
      address: api.stream_address,
      port: Number(api.stream_port) || 0,
      ...(api.stream_idle_timeout === "" ? {} : { idleTimeout: milliseconds(api.stream_idle_timeout) }),
      ...(api.stream_enable_tls
        ? {
            tls: {
              certificate: readFileSync(api.stream_tls_cert, "utf8"),
              key: readFileSync(api.stream_tls_key, "utf8"),
            },
          }
        : {}),
    },
    defaultCapabilities: runtime.default_capabilities,
    cdiSpecDirs: runtime.cdi_spec_dirs,
    enableUnprivilegedPorts: false,
    enableUnprivilegedIcmp: false,
    enableSelinux: runtime.selinux,
    crioLabels: { hostNetwork: !runtime.hostnetwork_disable_selinux },
    apparmor: { of: "cri-o", default: runtime.apparmor_profile || crioDefault },
    ignoreImageDefinedVolumes: image.image_volumes === "ignore",
  };
}
