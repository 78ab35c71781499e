import type { ContainerInspect } from "../../engine/types.ts";
import { shownProfile } from "../container/apparmor.ts";
import type { Container } from "../container/container.ts";
import { shownLinks } from "../container/links.ts";
import { mountPoints } from "../container/mount-view.ts";
import { networkSettings } from "../container/network-view.ts";
import { hostnamePath, hostsPath, logPath, resolvConfPath } from "../container/paths.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { never } from "../time.ts";

/** `GET /containers/{id}/json?size=`. */
export const inspect: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  reply.json(200, await view(daemon, container, query.bool("size")));
};

export async function view(daemon: Daemon, container: Container, size: boolean): Promise<ContainerInspect> {
  const { record } = container;
  const { id, state } = record;
  const ever = state.startedAt !== never || state.error !== "";
  const execs = [...container.execs.values()].filter((exec) => exec.running || !exec.started);
  return {
    Id: id,
    Created: record.created,
    Path: record.path,
    Args: record.args,
    State: {
      Status: container.status,
      Running: state.running,
      Paused: state.paused,
      Restarting: state.restarting,
      OOMKilled: state.oomKilled,
      Dead: state.dead,
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(state.health ? { Health: state.health } : {}),
    },
    Image: record.image,
    ResolvConfPath: ever ? resolvConfPath(daemon, id) : "",
    HostnamePath: ever ? hostnamePath(daemon, id) : "",
    HostsPath: ever ? hostsPath(daemon, id) : "",
    LogPath: ever && record.host.LogConfig.Type !== "none" ? logPath(daemon, id) : "",
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: record.snapshotter,
    Platform: record.platform,
    MountLabel: record.mountLabel ?? "",
    ProcessLabel: record.processLabel ?? "",
    AppArmorProfile: shownProfile(record),
    ExecIDs: execs.length > 0 ? execs.map((exec) => exec.id) : null,
    HostConfig: { ...record.host, Links: shownLinks(daemon, record) },
    GraphDriver: { Name: record.snapshotter, Data: null },
    ...(size ? await sizes(daemon, container) : {}),
    ...(record.manifest ? { ImageManifestDescriptor: record.manifest } : {}),
    Mounts: mountPoints(record),
    Config: record.config,
    NetworkSettings: networkSettings(daemon, record),
  };
}

/** Bytes of the writable layer, and with the image below it. */
export async function sizes(
  daemon: Daemon,
  container: Container,
): Promise<{ SizeRw: number; SizeRootFs: number }> {
  const { record } = container;
  const usage = await daemon.containerd.snapshots.usage({ snapshotter: record.snapshotter, key: record.id });
  const own = Number(usage.size);
  const image = await daemon.images.byId(record.image);
  return { SizeRw: own, SizeRootFs: own + (image ? await daemon.images.size(image.content) : 0) };
}
