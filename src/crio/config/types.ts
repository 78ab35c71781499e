/** CRI-O's settings, under the names its files and flags have (crio.conf(5)). */

export interface RuntimeTable {
  /** Empty: our runtime, in this process. */
  runtime_path: string;
  runtime_type: string;
  runtime_root: string;
  privileged_without_host_devices: boolean;
  allowed_annotations: string[];
  /** conmon's path; empty: our monitor. */
  monitor_path: string;
  monitor_cgroup: string;
  monitor_env: string[];
  no_sync_log: boolean;
  default_annotations: Record<string, string>;
}

export interface CrioConfig {
  root: string;
  runroot: string;
  storage_driver: string;
  storage_option: string[];
  log_dir: string;
  version_file: string;
  version_file_persist: string;
  clean_shutdown_file: string;
  internal_wipe: boolean;
  internal_repair: boolean;
  api: {
    listen: string;
    stream_address: string;
    stream_port: string;
    stream_enable_tls: boolean;
    stream_tls_cert: string;
    stream_tls_key: string;
    stream_tls_ca: string;
    stream_idle_timeout: string;
  };
  runtime: {
    no_pivot: boolean;
    selinux: boolean;
    log_to_journald: boolean;
    drop_infra_ctr: boolean;
    read_only: boolean;
    conmon_env: string[];
    hooks_dir: string[];
    default_capabilities: string[];
    add_inheritable_capabilities: boolean;
    default_env: string[];
    default_sysctls: string[];
    default_ulimits: string[];
    allowed_devices: string[];
    additional_devices: string[];
    cdi_spec_dirs: string[];
    default_runtime: string;
    conmon: string;
    conmon_cgroup: string;
    seccomp_profile: string;
    privileged_seccomp_profile: string;
    apparmor_profile: string;
    cgroup_manager: string;
    default_mounts_file: string;
    container_exits_dir: string;
    container_attach_socket_dir: string;
    bind_mount_prefix: string;
    log_level: string;
    log_filter: string;
    namespaces_dir: string;
    pinns_path: string;
    pids_limit: number;
    log_size_max: number;
    ctr_stop_timeout: number;
    absent_mount_sources_to_reject: string[];
    enable_pod_events: boolean;
    hostnetwork_disable_selinux: boolean;
    disable_hostport_mapping: boolean;
    timezone: string;
    runtimes: Record<string, RuntimeTable>;
  };
  image: {
    default_transport: string;
    global_auth_file: string;
    pause_image: string;
    pause_image_auth_file: string;
    pause_command: string;
    pinned_images: string[];
    signature_policy: string;
    signature_policy_dir: string;
    insecure_registries: string[];
    image_volumes: string;
    short_name_mode: string;
  };
  network: { cni_default_network: string; network_dir: string; plugin_dirs: string[] };
  metrics: {
    enable_metrics: boolean;
    metrics_host: string;
    metrics_port: number;
    metrics_socket: string;
    metrics_collectors: string[];
  };
  stats: { stats_collection_period: number; collection_period: number; included_pod_metrics: string[] };
}
