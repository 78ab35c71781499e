import type { Volume } from "../../engine/types.ts";
import type { VolumeRecord } from "./store.ts";

/** A volume as the API shows it. */
export const view = (volume: VolumeRecord): Volume => ({
  CreatedAt: volume.created.replace(/\.\d+Z$/, "Z"),
  Driver: volume.driver,
  Labels: volume.labels,
  Mountpoint: volume.mountpoint,
  Name: volume.name,
  Options: volume.options,
  Scope: "local",
});
