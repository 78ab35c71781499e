import type { ImageInspect } from "../../engine/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { Handler } from "../daemon.ts";
import { atLeast } from "../http/router.ts";
import { never } from "../time.ts";
import { parentLabel, repoDigests, repoTags } from "./store.ts";

/** `GET /images/{name}/json`. */
export const inspect: Handler = async (call) => {
  const { daemon, params, query, reply } = call;
  const platform = query.string("platform");
  const found = await daemon.images.get(
    params["name"]!,
    platform === "" ? undefined : parsePlatform(platform),
  );
  const image = (await daemon.images.byId(found.id)) ?? found;
  const { config } = found.content;
  const size = await daemon.images.size(found.content);
  const answer: ImageInspect = {
    Id: found.id,
    RepoTags: repoTags(image),
    RepoDigests: repoDigests(image),
    Parent: image.labels[parentLabel] ?? "",
    Comment: config.history?.at(-1)?.comment ?? "",
    ...(config.created === undefined ? {} : { Created: config.created }),
    DockerVersion: "",
    Author: config.author ?? "",
    Config: (config.config ?? {}) as ImageInspect["Config"],
    Architecture: config.architecture,
    ...(config.variant ? { Variant: config.variant } : {}),
    Os: config.os,
    ...(config["os.version"] ? { OsVersion: config["os.version"] } : {}),
    Size: size,
    ...(atLeast(call, "1.44") ? {} : { VirtualSize: size }),
    GraphDriver: { Name: daemon.config.snapshotter, Data: null },
    RootFS: { Type: "layers", Layers: found.content.diffIds },
    Metadata: { LastTagTime: image.updatedAt?.toISOString() ?? never },
    Descriptor: found.target,
  };
  reply.json(200, answer);
};
