import type { GraphDriver } from "./container.ts";
import type { ContainerConfig } from "./container-config.ts";

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  urls?: string[];
  annotations?: Record<string, string>;
  platform?: Platform;
  artifactType?: string;
}

export interface Platform {
  architecture: string;
  os: string;
  "os.version"?: string;
  "os.features"?: string[];
  variant?: string;
}

/** An entry of `GET /images/json?all=&filters=&shared-size=&digests=&manifests=`. */
export interface ImageSummary {
  Containers: number;
  Created: number;
  Id: string;
  Labels: Record<string, string> | null;
  ParentId: string;
  Descriptor?: Descriptor;
  Manifests?: ImageManifestSummary[];
  RepoDigests: string[] | null;
  RepoTags: string[] | null;
  SharedSize: number;
  Size: number;
  VirtualSize?: number;
}

export interface ImageManifestSummary {
  ID: string;
  Descriptor: Descriptor;
  Available: boolean;
  Size: { Content: number; Total: number };
  Kind: "image" | "attestation" | "unknown";
  ImageData?: { Platform: Platform; Containers: string[]; Size: { Unpacked: number } };
  AttestationData?: { For: string };
}

/** `GET /images/{name}/json`. */
export interface ImageInspect {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  Parent: string;
  Comment: string;
  Created?: string;
  Container?: string;
  ContainerConfig?: Partial<ContainerConfig> | null;
  DockerVersion: string;
  Author: string;
  Config: Partial<ContainerConfig> | null;
  Architecture: string;
  Variant?: string;
  Os: string;
  OsVersion?: string;
  Size: number;
  VirtualSize?: number;
  GraphDriver: GraphDriver;
  RootFS: { Type: string; Layers?: string[] };
  Metadata: { LastTagTime: string };
  Descriptor?: Descriptor;
  Manifests?: ImageManifestSummary[];
}

/** An entry of `GET /images/{name}/history`. */
export interface HistoryEntry {
  Id: string;
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  Size: number;
  Comment: string;
}

/** An entry of `DELETE /images/{name}?force=&noprune=`. */
export interface DeleteImageEntry {
  Untagged?: string;
  Deleted?: string;
}

export interface PruneImagesResponse {
  ImagesDeleted: DeleteImageEntry[] | null;
  SpaceReclaimed: number;
}

/** A line of the progress streams: pull, push, load, import, build. */
export interface ProgressMessage {
  stream?: string;
  status?: string;
  progress?: string;
  progressDetail?: { current?: number; total?: number; start?: number; hidecounts?: boolean; units?: string };
  id?: string;
  from?: string;
  time?: number;
  timeNano?: number;
  error?: string;
  errorDetail?: { code?: number; message: string };
  aux?: unknown;
}

/** The `aux` of a push. */
export interface PushResult {
  Tag: string;
  Digest: string;
  Size: number;
}

/** Base64url JSON in `X-Registry-Auth`, and the body of `POST /auth`. */
export interface AuthConfig {
  username?: string;
  password?: string;
  auth?: string;
  email?: string;
  serveraddress?: string;
  identitytoken?: string;
  registrytoken?: string;
}
export interface AuthResponse {
  Status: string;
  IdentityToken?: string;
}

export interface SearchResult {
  star_count: number;
  is_official: boolean;
  name: string;
  is_automated: boolean;
  description: string;
}

/** `GET /distribution/{name}/json`. */
export interface DistributionInspect {
  Descriptor: Descriptor;
  Platforms: Platform[];
}
