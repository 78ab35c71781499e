/** What dockerd sees of networking: plain data in the Engine API's meaning, without its JSON spelling. */

export type Protocol = "tcp" | "udp" | "sctp";

/** `-p`: a container port that wants a host port. No host port (or 0) asks for an ephemeral one; a range for the first free one in it. */
export interface PortRequest {
  containerPort: number;
  protocol: Protocol;
  /** "" or absent: all addresses of the host. */
  hostIp?: string;
  hostPort?: number | { first: number; last: number };
}

/** A published port as it was given. An all-addresses request yields one for 0.0.0.0 and, where the host has IPv6, one for `::`. */
export interface PortBinding {
  containerPort: number;
  protocol: Protocol;
  hostIp: string;
  hostPort: number;
}

export interface IpamConfig {
  /** CIDR, e.g. 172.17.0.0/16. */
  subnet: string;
  gateway: string;
  ipRange?: string;
  /** Addresses that belong to others (`--aux-address`), by their names: no container gets one. */
  auxiliary?: Record<string, string>;
}

/** A network as `docker network inspect` shows it (without its containers: see `endpoints`). */
export interface NetworkRecord {
  id: string;
  name: string;
  driver: "bridge" | "host" | "null";
  scope: "local";
  /** RFC3339Nano. */
  created: string;
  enableIPv6: boolean;
  internal: boolean;
  attachable: boolean;
  ingress: boolean;
  ipam: { driver: "default"; options: Record<string, string> | null; config: IpamConfig[] };
  /** com.docker.network.bridge.* and com.docker.network.driver.mtu. */
  options: Record<string, string>;
  labels: Record<string, string>;
}

/** One container's interface on one network. */
export interface Endpoint {
  /** 64 hex digits. */
  endpointId: string;
  networkId: string;
  networkName: string;
  containerId: string;
  containerName: string;
  /** The 64 hex digit id shown as SandboxID. */
  sandboxId: string;
  sandboxKey: string;
  /** Name inside the container, "" on host and none. */
  interfaceName: string;
  /** The veth's end on the host. */
  hostInterface: string;
  macAddress: string;
  ipAddress: string;
  ipPrefixLen: number;
  gateway: string;
  aliases: string[];
  ports: PortBinding[];
}

export interface AttachRequest {
  /** Network id, unique id prefix, or name ("bridge"). */
  network: string;
  containerId: string;
  /** For error texts and `network inspect`, without the leading slash. */
  containerName: string;
  /** As `createSandbox` returned it. Not needed for the host network. */
  sandbox: Sandbox;
  /** Without: the next free one of the network. */
  ipAddress?: string;
  /** Without: 02:42 and the address. */
  macAddress?: string;
  aliases?: string[];
  ports?: PortRequest[];
}

/** A network namespace of a container, bound to a file so that it outlives any daemon. */
export interface Sandbox {
  id: string;
  /** Path for the spec's `linux.namespaces[type=network].path`; the container's SandboxKey. */
  path: string;
}

export interface CreateNetworkRequest {
  name: string;
  driver?: string;
  internal?: boolean;
  attachable?: boolean;
  enableIPv6?: boolean;
  ipam?: { driver?: string; options?: Record<string, string> | null; config?: Array<Partial<IpamConfig>> };
  options?: Record<string, string>;
  labels?: Record<string, string>;
}

export interface NetworkManagerOptions {
  /** Persistent root of the engine: `<root>/network/network.db`. */
  root: string;
  /** Runtime root: sandboxes live in `<execRoot>/netns/`. */
  execRoot: string;
  /** Is this engine the default one (name corten0)? Decided by `root` = /var/lib/corten when absent. */
  bridgeName?: string;
  /** Address and prefix of the default bridge, as dockerd's --bip. */
  bip?: string;
  mtu?: number;
  /** Sandboxes kept ready with a veth on the default bridge. 0 turns it off; default 2. */
  pool?: number;
}

/** Counters of one interface, seen from the container (as in the Engine API's stats). */
export interface InterfaceStatistics {
  rx_bytes: number;
  rx_packets: number;
  rx_errors: number;
  rx_dropped: number;
  tx_bytes: number;
  tx_packets: number;
  tx_errors: number;
  tx_dropped: number;
}

/** A container that lives, as dockerd knows it after its start. */
export interface LiveContainer {
  containerId: string;
  /** Sandbox path if it has one of ours. */
  sandboxPath?: string;
}

/** The public face of `NetworkManager` (see manager.ts), also what a test double of dockerd's implements. */
export interface Networks {
  /** All networks: bridge, host, none, then the user's by creation time. */
  list(): NetworkRecord[];
  /** By full id, name, or unique id prefix; throws not_found "network X not found". */
  inspect(nameOrId: string): NetworkRecord;
  /** Endpoints on a network, of running containers. */
  endpoints(networkId: string): Endpoint[];
  /** Endpoints of a container, in the order attached. */
  endpointsOf(containerId: string): Endpoint[];

  create(request: CreateNetworkRequest): Promise<NetworkRecord>;
  /** Fails with permission_denied for the predefined ones and failed_precondition when endpoints are active. */
  remove(nameOrId: string): Promise<void>;
  /** Removes the user's networks without endpoints; returns their names. */
  prune(matches?: (network: NetworkRecord) => boolean): Promise<string[]>;

  /** A new network namespace with lo up. `network` (the mode: "bridge", "none", a name) lets a prepared one be used. */
  createSandbox(containerId: string, network?: string): Sandbox;
  /** Drops the namespace's file; what still runs in it keeps it alive. Idempotent. */
  removeSandbox(containerId: string): void;

  /** Connects a sandbox. Synchronous work inside, a promise only for the IPv6 side of published ports. */
  attach(request: AttachRequest): Promise<Endpoint>;
  /** Releases address, ports and interface of one container on one network. Idempotent. */
  detach(containerId: string, network: string): Promise<void>;
  /** Detaches from all networks and removes the sandbox: what dockerd calls when a container has ended. */
  release(containerId: string): Promise<void>;
  rename(containerId: string, containerName: string): void;
  statistics(containerId: string): Record<string, InterfaceStatistics>;

  /** After a restart: adopts what lives, re-takes port reservations, removes all that belongs to no live container. */
  reconcile(live: LiveContainer[]): Promise<void>;
  /** Fills the pool of prepared sandboxes in the background; dockerd calls it once at start. */
  prepare(): void;
  /** Ends the manager; containers' networking stays as it is. */
  close(): void;
  /**
   * Ends the manager for good: while no container is connected its bridges and its table go, too, and come back
   * at the next open. A bridge that was given by name stays.
   */
  retire(): void;
  /** Removes bridges, table, sandboxes and records: for tests, `make demo` and uninstalling. */
  destroy(): Promise<void>;
}
