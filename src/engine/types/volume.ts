export interface Volume {
  CreatedAt?: string;
  Driver: string;
  Labels: Record<string, string> | null;
  Mountpoint: string;
  Name: string;
  Options: Record<string, string> | null;
  Scope: "local" | "global";
  Status?: Record<string, unknown>;
  UsageData?: { RefCount: number; Size: number } | null;
}
export interface ListVolumesResponse {
  Volumes: Volume[] | null;
  Warnings: string[] | null;
}
/** Body of `POST /volumes/create`. */
export interface CreateVolumeRequest {
  Name?: string;
  Driver?: string;
  DriverOpts?: Record<string, string> | null;
  Labels?: Record<string, string> | null;
}
export interface PruneVolumesResponse {
  VolumesDeleted: string[] | null;
  SpaceReclaimed: number;
}
