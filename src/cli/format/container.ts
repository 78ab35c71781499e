/** Rows and columns of containers: `ps`, `system df -v`. */
import type { ContainerSummary, Port } from "../../engine/types.ts";
import { Row } from "../template/value.ts";
import type { Headers } from "./list.ts";
import { goQuote } from "./quote.ts";
import { familiarName, familiarReference, parseReference } from "./reference.ts";
import { ellipsis, hostPort, labelText, shortId } from "./text.ts";
import { localTime } from "./time.ts";
import { humanSize, since } from "./units.ts";

export const containerHeaders: Headers = {
  ID: "CONTAINER ID",
  Names: "NAMES",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  Ports: "PORTS",
  State: "STATE",
  Status: "STATUS",
  Size: "SIZE",
  Labels: "LABELS",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
  Networks: "NETWORKS",
  Platform: "PLATFORM",
};

export const containerTable =
  "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
export const containerRaw = `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
`;

/** A row; its columns are worked out when a format asks. `onSize` tells that it asked for the size. */
export function containerRow(one: ContainerSummary, trunc: boolean, onSize: () => void = () => {}): Row {
  return new Row("*formatter.ContainerContext", {
    get ID() {
      return trunc ? shortId(one.Id) : one.Id;
    },
    get Names() {
      const names = one.Names.map((name) => name.slice(1));
      return trunc
        ? names
            .filter((name) => !name.includes("/"))
            .slice(0, 1)
            .join("") || names.join(",")
        : names.join(",");
    },
    get Image() {
      return imageText(one, trunc);
    },
    get Command() {
      return goQuote(trunc ? ellipsis(one.Command, 20) : one.Command);
    },
    get CreatedAt() {
      return localTime(one.Created);
    },
    get RunningFor() {
      return since(one.Created);
    },
    get Ports() {
      return portsText(one.Ports ?? []);
    },
    get State() {
      return one.State;
    },
    get Status() {
      return one.Status;
    },
    get Size() {
      onSize();
      const own = humanSize(one.SizeRw ?? 0, 3);
      return one.SizeRootFs ? `${own} (virtual ${humanSize(one.SizeRootFs, 3)})` : own;
    },
    get Labels() {
      return labelText(one.Labels);
    },
    Label: (name: string) => one.Labels?.[name] ?? "",
    get Mounts() {
      return (one.Mounts ?? [])
        .map((mount) => mount.Name || mount.Source)
        .map((name) => (trunc ? ellipsis(name, 15) : name))
        .join(",");
    },
    get LocalVolumes() {
      return String((one.Mounts ?? []).filter((mount) => mount.Driver === "local").length);
    },
    get Networks() {
      return Object.keys(one.NetworkSettings?.Networks ?? {}).join(",");
    },
    get Platform() {
      const platform = one.ImageManifestDescriptor?.platform;
      if (!platform) return null;
      return [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
    },
  });
}

function imageText(one: ContainerSummary, trunc: boolean): string {
  if (one.Image === "") return "<no image>";
  if (!trunc) return one.Image;
  const id = shortId(one.ImageID);
  if (id === shortId(one.Image)) return id;
  try {
    const { digest: _, ...reference } = parseReference(one.Image);
    return reference.tag === undefined ? familiarName(reference) : familiarReference(reference);
  } catch {
    return one.Image;
  }
}

/** `0.0.0.0:80->80/tcp, 443/tcp`: neighbours with the same numbers in and out are joined to ranges. */
export function portsText(ports: readonly Port[]): string {
  const sorted = [...ports].sort(
    (a, b) =>
      a.PrivatePort - b.PrivatePort ||
      compare(a.IP ?? "", b.IP ?? "") ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
      compare(a.Type, b.Type),
  );
  const out: string[] = [];
  const mapped: string[] = [];
  const groups = new Map<string, { first: number; last: number; ip: string; type: string }>();
  for (const { IP: ip = "", PrivatePort: port, PublicPort, Type: type } of sorted) {
    if (ip !== "" && PublicPort !== port) {
      mapped.push(`${hostPort(ip, PublicPort ?? 0)}->${port}/${type}`);
      continue;
    }
    const key = `${ip}/${type}`;
    const group = groups.get(key);
    if (group && port === group.last + 1) {
      group.last = port;
      continue;
    }
    if (group) {
      out.push(groupText(group));
      group.first = group.last = port;
    } else groups.set(key, { first: port, last: port, ip, type });
  }
  return [...out, ...[...groups.values()].map(groupText), ...mapped].join(", ");
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function groupText({
  first,
  last,
  ip,
  type,
}: {
  first: number;
  last: number;
  ip: string;
  type: string;
}): string {
  const range = first === last ? String(first) : `${first}-${last}`;
  return `${ip === "" ? range : `${hostPort(ip, range)}->${range}`}/${type}`;
}
