import type { CreateContainerRequest } from "../../engine/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { prepareRecord } from "../container/create.ts";
import { createShape } from "../container/shapes.ts";
import { readAccounts, specOf, userOf } from "../container/spec-input.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";

/** `POST /corten/explain?name=&platform=`: what a create and start of this body would do, without doing it. */
export const explain: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const request = await bodyOf<CreateContainerRequest>(call, createShape);
  const platform = query.string("platform");
  const { record, warnings, image, mountPlans } = await prepareRecord(
    daemon,
    request,
    platform === "" ? undefined : parsePlatform(platform),
  );
  record.mounts = mountPlans.map(({ volume, ...mount }) => ({
    ...mount,
    source:
      mount.type === "volume"
        ? `${daemon.config.dataRoot}/volumes/${volume?.name ?? "(new)"}/_data`
        : mount.source,
  }));
  const { snapshots } = daemon.containerd;
  const snapshotter = record.snapshotter;
  const parent = image.content.chainIds.at(-1) ?? "";
  const key = `explain-${record.id}`;
  const { mounts } = await snapshots.view({ snapshotter, key, parent });
  try {
    const accounts = await readAccounts(daemon, record, true, mounts);
    const mode = record.host.NetworkMode;
    const networkNamespace =
      mode === "host" ? undefined : `${daemon.config.execRoot}/netns/${record.id.slice(0, 12)}`;
    const spec = specOf(daemon, record, {
      user: userOf(record, accounts),
      ...(networkNamespace === undefined ? {} : { networkNamespace }),
    });
    reply.json(200, { Lines: await daemon.host.explain(spec), Warnings: warnings });
  } finally {
    await snapshots.remove({ snapshotter, key });
  }
};
