/** The parts of the CNI specification (1.0) that pass through a runtime. */

export interface PluginConfig {
  type: string;
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A network configuration list. */
export interface NetworkList {
  cniVersion: string;
  name: string;
  plugins: PluginConfig[];
}

export interface CniResult {
  cniVersion?: string;
  interfaces?: Array<{ name: string; mac?: string; sandbox?: string }>;
  ips?: Array<{ address: string; gateway?: string; interface?: number; version?: string }>;
  routes?: Array<{ dst: string; gw?: string }>;
  dns?: { nameservers?: string[]; domain?: string; search?: string[]; options?: string[] };
  /** Version 0.1 and 0.2. */
  ip4?: { ip: string };
  ip6?: { ip: string };
}

/** All that a later DEL needs, whatever happens to the configuration directory meanwhile. */
export interface AddedNetwork {
  list: NetworkList;
  result: CniResult;
  args: string;
  runtimeConfig: Record<string, unknown>;
}

export interface PortMappingEntry {
  hostPort: number;
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
  hostIP: string;
}
