import type { Sent } from "./common.ts";
import type { EndpointSettings } from "./container-config.ts";

export interface IpamConfig {
  Subnet?: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}
export interface Ipam {
  Driver: string;
  Options: Record<string, string> | null;
  Config: IpamConfig[] | null;
}

export interface NetworkContainer {
  Name: string;
  EndpointID: string;
  MacAddress: string;
  IPv4Address: string;
  IPv6Address: string;
}

/** `GET /networks/{id}` and, with empty Containers, an entry of `GET /networks?filters=`. */
export interface NetworkInspect {
  Name: string;
  Id: string;
  Created: string;
  Scope: string;
  Driver: string;
  EnableIPv4?: boolean;
  EnableIPv6: boolean;
  IPAM: Ipam;
  Internal: boolean;
  Attachable: boolean;
  Ingress: boolean;
  ConfigFrom: { Network: string };
  ConfigOnly: boolean;
  Containers: Record<string, NetworkContainer> | null;
  Options: Record<string, string> | null;
  Labels: Record<string, string> | null;
}

/** Body of `POST /networks/create`. */
export interface CreateNetworkRequest {
  Name: string;
  CheckDuplicate?: boolean | null;
  Driver?: string;
  Scope?: string;
  EnableIPv4?: boolean | null;
  EnableIPv6?: boolean | null;
  IPAM?: Sent<Ipam> | null;
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  ConfigOnly?: boolean;
  ConfigFrom?: { Network: string } | null;
  Options?: Record<string, string> | null;
  Labels?: Record<string, string> | null;
}
export interface CreateNetworkResponse {
  Id: string;
  Warning: string;
}

/** Body of `POST /networks/{id}/connect`. */
export interface ConnectNetworkRequest {
  Container: string;
  EndpointConfig?: Sent<EndpointSettings> | null;
}
/** Body of `POST /networks/{id}/disconnect`. */
export interface DisconnectNetworkRequest {
  Container: string;
  Force?: boolean;
}
export interface PruneNetworksResponse {
  NetworksDeleted: string[] | null;
}
