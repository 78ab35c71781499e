import { decompress } from "../../archive/decompress.ts";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import {
  hostPlatform,
  ingestBlob,
  keepDangling,
  nameImage,
  unpack,
  withLease,
  writeImage,
} from "../../containerd/client/index.ts";
import { type ContainerConfig, type ImageConfig, mediaTypes } from "../../oci/image-spec.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { Call } from "../daemon.ts";
import { now } from "../time.ts";
import { applyChanges } from "./change.ts";
import { requestedName } from "./name.ts";
import { ProgressStream } from "./progress.ts";

/** `POST /images/create?fromSrc=-&repo=&tag=&message=&changes=&platform=`: an image of one layer, the tar that is sent. */
export async function importImage(call: Call): Promise<void> {
  const { daemon, query, body, reply, signal } = call;
  const source = query.string("fromSrc");
  const name = requestedName(query.string("repo"), query.string("tag"));
  const config: ContainerConfig = {};
  applyChanges(config, query.all("changes"));
  const platform = query.string("platform");
  const { os, architecture, variant } = platform === "" ? hostPlatform() : parsePlatform(platform);
  const created = now();
  const { snapshotter } = daemon.config;
  const id = await withLease(daemon.containerd, async (leased) => {
    const layer = await ingestBlob(
      leased,
      { ref: `corten-import-${crypto.randomUUID()}`, signal },
      decompress(source === "-" ? body : await download(source, signal), { what: "archive", any: true }),
    );
    const document: ImageConfig = {
      created,
      architecture,
      os,
      ...(variant === undefined ? {} : { variant }),
      config,
      rootfs: { type: "layers", diff_ids: [layer.digest] },
      history: [{ created, comment: query.string("message") || `Imported from ${source}` }],
    };
    const { target, config: image } = await writeImage(leased, document, [
      { mediaType: mediaTypes.dockerLayer, ...layer },
    ]);
    await unpack(leased, target, { snapshotter, signal });
    if (name === undefined) await keepDangling(leased, { target, labels: {} });
    else await nameImage(leased, name, { target, id: image });
    return image;
  });
  daemon.events.publish("image", "import", id, { name: id });
  const progress = new ProgressStream(reply);
  progress.send({ status: id });
  progress.end();
}

/** What another place has, for `fromSrc=URL`; the scheme may be left out. */
async function download(source: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = source.includes("://") ? source : `http://${source}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw invalid(`cannot import from ${JSON.stringify(source)}: no URL`);
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    throw new CortenError("internal", `Get ${JSON.stringify(text)}: ${messageOf(error)}`, { cause: error });
  }
  if (!response.ok || !response.body)
    throw new CortenError(
      "internal",
      `Get ${JSON.stringify(text)}: ${response.status} ${response.statusText}`,
    );
  return response.body as unknown as AsyncIterable<Uint8Array>;
}
