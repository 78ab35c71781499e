import { conflict, isCode } from "../../base/errors.ts";
import {
  type ContainerdClient,
  keepDangling,
  nameImage,
  unpack,
  withLease,
  writeImage,
} from "../../containerd/client/index.ts";
import type { ContainerConfig, Sent } from "../../engine/types.ts";
import {
  type Descriptor,
  type ImageConfig,
  type ContainerConfig as ImageContainerConfig,
  mediaTypes,
} from "../../oci/image-spec.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import type { Container } from "../container/container.ts";
import { fullConfig, mergeImage } from "../container/defaults.ts";
import { containerEvent } from "../container/events.ts";
import { configFields } from "../container/shapes.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { atLeast, bodyOf } from "../http/router.ts";
import { applyChanges } from "../images/change.ts";
import { requestedName } from "../images/name.ts";
import { parentLabel } from "../images/store.ts";
import { now } from "../time.ts";

/** A tar without entries: no layer is made for a container that changed nothing. */
const emptyTar = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/** `POST /commit?container=&repo=&tag=&comment=&author=&changes=&pause=`: an image of what a container has become. */
export const commit: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const container = daemon.containers.get(query.string("container"));
  const sent = await bodyOf<Sent<ContainerConfig> | undefined>(call, { fields: configFields });
  const name = requestedName(query.string("repo"), query.string("tag"));
  const config = configOf(container, sent ?? {}, query.all("changes"));
  if (container.state.dead || container.state.removing)
    throw conflict(`You cannot commit container ${container.id} which is being removed`);
  const comment = query.string("comment");
  const pause = query.bool("pause", atLeast(call, "1.13"));
  const id = await paused(daemon, container, pause, () =>
    withLease(daemon.containerd, (leased) =>
      makeImage(daemon, leased, container, { config, comment, author: query.string("author"), name }),
    ),
  );
  containerEvent(daemon, container, "commit", {
    comment,
    imageID: id,
    imageRef: name === undefined ? "" : familiarReference(parseReference(name)),
  });
  reply.json(201, { Id: id });
};

/** The container's configuration, or the one that was sent with what it leaves open from the container's. */
function configOf(
  container: Container,
  sent: Sent<ContainerConfig>,
  changes: readonly string[],
): ImageContainerConfig {
  const own = container.record.config;
  const config = structuredClone(Object.keys(sent).length === 0 ? own : fullConfig(sent));
  applyChanges(config as ImageContainerConfig, changes);
  mergeImage(config, own as ImageContainerConfig);
  const { User, ExposedPorts, Env, Cmd, Volumes, WorkingDir, Entrypoint, OnBuild, Labels } = config;
  const { Healthcheck, StopSignal, StopTimeout, Shell } = config;
  const all = { User, ExposedPorts, Env, Cmd, Healthcheck, Volumes, WorkingDir, Entrypoint, OnBuild, Labels };
  return Object.fromEntries(
    Object.entries({ ...all, StopSignal, StopTimeout, Shell }).filter(([, value]) => value !== undefined),
  );
}

/** Nothing is written meanwhile, unless the user would rather not have it stopped. */
function paused<T>(
  daemon: Daemon,
  container: Container,
  wanted: boolean,
  work: () => Promise<T>,
): Promise<T> {
  const { state, id } = container;
  return daemon.locks.run(id, async () => {
    if (!wanted || !state.running || state.paused || state.restarting) return await work();
    try {
      await daemon.containerd.tasks.pause({ containerId: id });
    } catch (error) {
      // It has ended meanwhile: nothing writes any more.
      if (!isCode(error, "failed_precondition") && !isCode(error, "not_found")) throw error;
      return await work();
    }
    try {
      return await work();
    } finally {
      await daemon.containerd.tasks.resume({ containerId: id });
    }
  });
}

interface Commit {
  config: ImageContainerConfig;
  comment: string;
  author: string;
  name: string | undefined;
}

async function makeImage(
  daemon: Daemon,
  leased: ContainerdClient,
  container: Container,
  { config, comment, author, name }: Commit,
): Promise<string> {
  const { record } = container;
  const parent = record.manifest
    ? await daemon.images.content(record.manifest)
    : (await daemon.images.get(record.image)).content;
  const layer = await changedLayer(leased, container);
  const fresh = layer.digest === emptyTar ? [] : [layer];
  const created = now();
  const oci = parent.manifest.config.mediaType === mediaTypes.ociConfig;
  const document: ImageConfig = {
    ...parent.config,
    created,
    ...(author === "" ? {} : { author }),
    config,
    rootfs: { type: "layers", diff_ids: [...parent.diffIds, ...fresh.map(({ digest }) => digest)] },
    history: [
      ...(parent.config.history ?? []),
      {
        created,
        created_by: (record.config.Cmd ?? []).join(" "),
        ...(author === "" ? {} : { author }),
        ...(comment === "" ? {} : { comment }),
        ...(fresh.length === 0 ? { empty_layer: true } : {}),
      },
    ],
  };
  const mediaType = oci ? mediaTypes.ociLayer : mediaTypes.dockerLayer;
  const layers = [
    ...parent.manifest.layers,
    ...fresh.map(({ digest, size }) => ({ mediaType, digest, size })),
  ];
  const { target, config: id } = await writeImage(leased, document, layers);
  await unpack(leased, target, { snapshotter: record.snapshotter });
  const labels = { [parentLabel]: record.image };
  if (name === undefined) await keepDangling(leased, { target, labels });
  else await nameImage(leased, name, { target, id, labels });
  return id;
}

/** What the container's snapshot adds to its parent's, as an uncompressed layer in the store: its digest is its diff id. */
async function changedLayer(
  leased: ContainerdClient,
  container: Container,
): Promise<Pick<Descriptor, "digest" | "size">> {
  const { id, snapshotter } = container.record;
  const { info } = await leased.snapshots.stat({ snapshotter, key: id });
  const upper = await leased.snapshots.mounts({ snapshotter, key: id });
  const key = `${id}-commit-${crypto.randomUUID()}`;
  const lower = await leased.snapshots.view({ snapshotter, key, parent: info?.parent ?? "" });
  try {
    const { diff } = await leased.diff.diff({
      left: lower.mounts,
      right: upper.mounts,
      mediaType: mediaTypes.ociLayer,
      ref: `corten-commit-${crypto.randomUUID()}`,
    });
    return { digest: diff!.digest, size: Number(diff!.size) };
  } finally {
    await leased.snapshots.remove({ snapshotter, key });
  }
}
