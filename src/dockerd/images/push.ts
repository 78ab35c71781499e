import { invalid, isCode, messageOf, notFound } from "../../base/errors.ts";
import { pushedLabel, push as pushImage } from "../../containerd/client/index.ts";
import {
  familiarName,
  formatReference,
  parseReference,
  withDefaultTag,
  withTag,
} from "../../oci/reference.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { credentialsOf, resolverCredentials } from "./auth.ts";
import { layerLine, ProgressStream } from "./progress.ts";
import { parseRecord } from "./store.ts";

/** `POST /images/{name}/push?tag=`; without a tag every tag of the repository. */
export const push: Handler = async ({ daemon, head, params, query, reply, signal }) => {
  const base = parseReference(params["name"]!);
  if (base.digest !== undefined) throw invalid("cannot push a digest reference");
  const tag = query.string("tag") || base.tag || "";
  const records =
    tag === ""
      ? (await daemon.images.list())
          .flatMap((image) => image.records)
          .filter((record) => {
            const parsed = parseRecord(record);
            return parsed?.tag !== undefined && familiarName(parsed) === familiarName(base);
          })
      : [formatReference(withDefaultTag(withTag(base, tag)))];
  const name = familiarName(base);
  if (records.length === 0) throw notFound(`An image does not exist locally with the tag: ${name}`);
  const progress = new ProgressStream(reply);
  const resolver = daemon.host.resolver({
    ...resolverCredentials(credentialsOf(head.headers.get("x-registry-auth"))),
    signal,
  });
  try {
    progress.send({ status: `The push refers to repository [${base.domain}/${base.path}]` });
    for (const record of records) {
      const target = await pushImage(daemon.containerd, {
        ref: record,
        resolver,
        compression: "gzip",
        signal,
        onProgress: ({ status, ...rest }) =>
          progress.send(
            rest.current === undefined
              ? { status, progressDetail: {}, id: rest.id }
              : layerLine({ ...rest, status: status as "Downloading" }),
          ),
      });
      await rememberDigest(daemon, record, target.digest);
      const pushed = parseRecord(record)?.tag ?? "";
      progress.send({ status: `${pushed}: digest: ${target.digest} size: ${target.size}` });
      progress.send({ progressDetail: {}, aux: { Tag: pushed, Digest: target.digest, Size: target.size } });
      daemon.events.publish("image", "push", `${name}:${pushed}`, { name });
    }
  } catch (error) {
    if (isCode(error, "not_found") && /image "/.test(messageOf(error)))
      progress.fail(`An image does not exist locally with the tag: ${name}`);
    else progress.fail(messageOf(error));
  } finally {
    resolver.close();
  }
  progress.end();
};

/** What the registry calls the image is what `docker inspect` shows as its digest from now on. */
async function rememberDigest(daemon: Daemon, name: string, digest: string): Promise<void> {
  const { images } = daemon.containerd;
  const { image } = await images.get({ name });
  const known = image?.labels[pushedLabel] ?? image?.target?.digest;
  if (!image || known === digest) return;
  const labels = { ...image.labels, [pushedLabel]: digest };
  await images.update({ image: { name, labels }, updateMask: { paths: [`labels.${pushedLabel}`] } });
}
