import { defaultConfig } from "./defaults.ts";
import type { CrioConfig } from "./types.ts";

/** Keys that are read and do nothing here; `crio` says so where one is set. docs/kubernetes.md tells why. */
const keys: Array<[key: string, why: string]> = [
  ["storage_option", "the store has no options"],
  ["log_dir", "kubelet names every pod's log directory"],
  ["internal_repair", "what the store has is verified when it is written"],
  ["api.stream_tls_ca", "clients' certificates are not asked for"],
  ["runtime.log_to_journald", "logs go to files"],
  ["runtime.drop_infra_ctr", "pods have a process of their own only where they need one"],
  ["runtime.conmon_cgroup", "conmon stays in the server's cgroup"],
  ["runtime.seccomp_profile", "RuntimeDefault is the built-in profile"],
  ["runtime.privileged_seccomp_profile", "privileged containers are not filtered"],
  ["runtime.allowed_devices", "devices come from the pod, CDI and additional_devices"],
  ["runtime.bind_mount_prefix", "sources are paths of this machine"],
  ["runtime.log_filter", "log_level is what there is"],
  ["runtime.namespaces_dir", "namespaces are kept below runroot"],
  ["runtime.pinns_path", "namespaces are made in the server"],
  ["runtime.absent_mount_sources_to_reject", "absent sources are made as directories"],
  ["runtime.disable_hostport_mapping", "host ports are the CNI plugins' work"],
  ["runtime.enable_pod_events", "events are served whenever they are asked for"],
  ["image.pause_command", "the pod's own process is built in"],
  ["image.pause_image_auth_file", "the pause image is not needed, only pinned"],
  ["stats.stats_collection_period", "figures are read when they are asked for"],
  ["stats.collection_period", "figures are read when they are asked for"],
];

/** The keys that are set to something else than their default, with the reason why that changes nothing. */
export function ineffectiveKeys(config: CrioConfig): Array<{ key: string; why: string }> {
  const defaults = defaultConfig();
  const found = keys
    .map(([key, why]) => ({ key, why }))
    .filter(({ key }) => at(config, key) !== at(defaults, key));
  for (const [name, table] of Object.entries(config.runtime.runtimes))
    if (table.monitor_cgroup !== "" && table.monitor_cgroup !== "system.slice")
      found.push({
        key: `runtime.runtimes.${name}.monitor_cgroup`,
        why: "monitors stay in the server's cgroup",
      });
  return found;
}

function at(config: CrioConfig, key: string): string {
  const value = key
    .split(".")
    .reduce<unknown>((table, part) => (table as Record<string, unknown>)[part], config);
  return JSON.stringify(value);
}
