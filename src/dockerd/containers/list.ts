import { invalid } from "../../base/errors.ts";
import type { ContainerSummary, Port } from "../../engine/types.ts";
import type { Container } from "../container/container.ts";
import { mountPoints } from "../container/mount-view.ts";
import { portMap } from "../container/ports.ts";
import { statusText } from "../container/status-text.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { Filters } from "../http/filters.ts";
import { parseRfc3339 } from "../time.ts";
import { sizes } from "./inspect.ts";

const accepted = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "is-task",
  "isolation",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
];

const statuses = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/** `GET /containers/json?all=&limit=&size=&filters=`. */
export const list: Handler = async ({ daemon, query, reply }) => {
  const filters = Filters.parse(query, accepted);
  const limit = query.int("limit") ?? -1;
  const matches = await matcher(daemon, filters);
  const all =
    query.bool("all") ||
    limit > 0 ||
    filters.has("status") ||
    filters.has("exited") ||
    filters.has("before") ||
    filters.has("since");
  let containers = daemon.containers
    .all()
    .sort((a, b) => (a.record.created < b.record.created ? 1 : -1))
    .filter((container) => (all || container.state.running) && matches(container));
  if (limit > 0) containers = containers.slice(0, limit);
  const names = await imageNames(daemon, containers);
  reply.json(
    200,
    await Promise.all(containers.map((one) => summary(daemon, one, names, query.bool("size")))),
  );
};

/** A container whose image lost its name shows the id it was made from. */
async function imageNames(daemon: Daemon, containers: readonly Container[]): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  const wanted = new Map<string, string>();
  for (const { record } of containers)
    wanted.set(`${record.config.Image} ${record.image}`, record.config.Image);
  await Promise.all(
    [...wanted].map(async ([key, name]) => {
      const found = await daemon.images.find(name).catch(() => undefined);
      const id = key.slice(name.length + 1);
      names.set(key, found?.id === id ? name : id);
    }),
  );
  return names;
}

export async function summary(
  daemon: Daemon,
  container: Container,
  names: Map<string, string>,
  size: boolean,
): Promise<ContainerSummary> {
  const { record } = container;
  const command = [record.path, ...record.args.map(quoted)].join(" ");
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: names.get(`${record.config.Image} ${record.image}`) ?? record.config.Image,
    ImageID: record.image,
    Command: command,
    Created: Number((parseRfc3339(record.created) ?? 0n) / 1_000_000_000n),
    Ports: portsOf(daemon, container),
    ...(size ? await sizes(daemon, container) : {}),
    Labels: record.config.Labels ?? {},
    State: container.status,
    Status: statusText(container),
    HostConfig: {
      NetworkMode: record.host.NetworkMode,
      ...(record.host.Annotations ? { Annotations: record.host.Annotations } : {}),
    },
    NetworkSettings: { Networks: record.networks },
    Mounts: mountPoints(record),
  };
}

const quoted = (argument: string) => (/\s/.test(argument) ? `'${argument}'` : argument);

function portsOf(daemon: Daemon, container: Container): Port[] {
  const { record } = container;
  if (!record.state.running) return [];
  const published = daemon.networks.endpointsOf(record.id).flatMap((endpoint) => endpoint.ports);
  const ports: Port[] = [];
  for (const [key, bindings] of Object.entries(portMap(record.config, published))) {
    const [number, type = "tcp"] = key.split("/");
    const common = { PrivatePort: Number(number), Type: type };
    if (!bindings) ports.push(common);
    else
      for (const { HostIp, HostPort } of bindings)
        ports.push({ ...(HostIp ? { IP: HostIp } : {}), ...common, PublicPort: Number(HostPort) });
  }
  return ports;
}

/** Checks the filters' values and gives the test for one container. */
export async function matcher(daemon: Daemon, filters: Filters): Promise<(container: Container) => boolean> {
  for (const status of filters.get("status"))
    if (!statuses.includes(status)) throw invalid(`invalid filter 'status=${status}'`);
  for (const health of filters.get("health"))
    if (!["starting", "healthy", "unhealthy", "none"].includes(health))
      throw invalid(`invalid filter 'health=${health}'`);
  const codes = filters.get("exited").map((text) => {
    if (!/^-?\d+$/.test(text)) throw invalid(`invalid filter 'exited=${text}'`);
    return Number(text);
  });
  filters.bool("is-task");
  const created = (name: string) => filters.get(name).map((one) => daemon.containers.get(one).record.created);
  const before = created("before");
  const since = created("since");
  const ancestors = new Set<string>();
  for (const name of filters.get("ancestor")) {
    const image = await daemon.images.find(name).catch(() => undefined);
    ancestors.add(image?.id ?? name);
  }
  const ports = (name: string) => filters.get(name).map(parsePortFilter);
  const publish = ports("publish");
  const expose = ports("expose");
  return (container) => {
    const { record } = container;
    if (!filters.match("id", record.id) && !filters.get("id").some((one) => record.id.startsWith(one)))
      return false;
    if (!filters.match("name", record.name) && !filters.match("name", `/${record.name}`)) return false;
    if (!filters.labels("label", record.config.Labels)) return false;
    if (!filters.exact("status", container.status)) return false;
    if (!filters.exact("health", record.state.health?.Status ?? "none")) return false;
    if (codes.length > 0 && !(container.status === "exited" && codes.includes(record.state.exitCode)))
      return false;
    if (before.some((time) => record.created >= time) || since.some((time) => record.created <= time))
      return false;
    if (ancestors.size > 0 && !ancestors.has(record.image)) return false;
    if (filters.bool("is-task") === true) return false;
    const volumes = filters.get("volume");
    if (
      volumes.length > 0 &&
      !record.mounts.some((mount) =>
        volumes.some((one) => one === mount.name || one === mount.destination || one === mount.source),
      )
    )
      return false;
    const networks = filters.get("network");
    if (
      networks.length > 0 &&
      !Object.entries(record.networks).some(([name, settings]) =>
        networks.some(
          (one) => one === name || (settings.NetworkID !== "" && settings.NetworkID.startsWith(one)),
        ),
      )
    )
      return false;
    const bound = Object.keys(record.host.PortBindings ?? {});
    const exposed = [...Object.keys(record.config.ExposedPorts ?? {}), ...bound];
    if (publish.length > 0 && !bound.some((port) => publish.some((test) => test(port)))) return false;
    if (expose.length > 0 && !exposed.some((port) => expose.some((test) => test(port)))) return false;
    return true;
  };
}

/** `80`, `80/tcp`, `8000-8010/udp`. */
function parsePortFilter(text: string): (port: string) => boolean {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (!match) throw invalid(`invalid filter: invalid port: ${text}`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return (port) => {
    const [number, protocol = "tcp"] = port.split("/");
    return Number(number) >= first && Number(number) <= last && protocol === (match[3] ?? "tcp");
  };
}
