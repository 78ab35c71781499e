/** Rows and columns of volumes: `volume ls`, `system df -v`. */
import type { Volume } from "../../engine/types.ts";
import { Row } from "../template/value.ts";
import type { Headers } from "./list.ts";
import { labelText } from "./text.ts";
import { humanSize } from "./units.ts";

export const volumeHeaders: Headers = {
  ID: "ID",
  Name: "VOLUME NAME",
  Group: "GROUP",
  Driver: "DRIVER",
  Scope: "SCOPE",
  Availability: "AVAILABILITY",
  Mountpoint: "MOUNTPOINT",
  Labels: "LABELS",
  Links: "LINKS",
  Size: "SIZE",
  Status: "STATUS",
};

export function volumeRow(volume: Volume): Row {
  const usage = volume.UsageData;
  return new Row("*formatter.volumeContext", {
    Name: volume.Name,
    Driver: volume.Driver,
    Scope: volume.Scope,
    Mountpoint: volume.Mountpoint,
    Labels: labelText(volume.Labels),
    Label: (name: string) => volume.Labels?.[name] ?? "",
    Links: usage ? String(usage.RefCount) : "N/A",
    Size: usage ? humanSize(usage.Size) : "N/A",
    Group: "N/A",
    Availability: "N/A",
    Status: "N/A",
  });
}
