import { invalid, notFound } from "../../base/errors.ts";
import { type ImageContent, writeImageArchive } from "../../containerd/client/index.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { familiarReference, parseReference, repositoryName } from "../../oci/reference.ts";
import type { Call, Daemon, Handler } from "../daemon.ts";
import { recordName } from "./name.ts";
import { type ImageInfo, parseRecord, repoTags } from "./store.ts";

/** `GET /images/get?names=`: an OCI layout that is Docker's archive as well. */
export const saveMany: Handler = async (call) => {
  const names = call.query.all("names").filter(Boolean);
  if (names.length === 0) throw invalid("no images to save: names is empty");
  await save(call, names);
};

/** `GET /images/{name}/get`. */
export const saveOne: Handler = (call) => save(call, [call.params["name"]!]);

/** An image with the full names it is asked for by. */
interface Wanted {
  content: ImageContent;
  names: Set<string>;
}

async function save({ daemon, reply, signal }: Call, references: readonly string[]): Promise<void> {
  const wanted = new Map<string, Wanted>();
  for (const reference of references)
    for (const { image, names } of await selected(daemon, reference)) {
      const entry = wanted.get(image.id) ?? { content: image.content, names: new Set<string>() };
      wanted.set(image.id, entry);
      for (const name of names) entry.names.add(name);
    }
  const images = [...wanted.values()];
  for (const { content } of images) await refuseIncomplete(daemon, content);
  for (const [id] of wanted) daemon.events.publish("image", "save", id, { name: id });
  const out = reply.stream(200, "application/x-tar");
  const archive = {
    manifests: images.flatMap(entries),
    blobs: images.flatMap(({ content }) => [
      content.manifestDescriptor,
      content.manifest.config,
      ...content.manifest.layers,
    ]),
    docker: images.map(({ content, names }) => ({
      config: content.manifest.config.digest,
      repoTags: [...names].map((name) => familiarReference(parseReference(name))),
      layers: content.manifest.layers.map(({ digest }) => digest),
    })),
  };
  await writeImageArchive(
    daemon.containerd,
    archive,
    async (piece) => {
      if (!(await out.write(piece))) throw new Error("the client is gone");
    },
    signal,
  );
  out.end();
}

/** What a name of a request means: one image, or with no tag all of a repository. */
async function selected(
  daemon: Daemon,
  reference: string,
): Promise<Array<{ image: ImageInfo; names: string[] }>> {
  const exact = await daemon.images.find(reference);
  const bare = bareRepository(reference);
  if (bare !== undefined) {
    const found = (await daemon.images.list()).flatMap((image) => {
      const names = image.records.filter((record) => {
        const parsed = parseRecord(record);
        return parsed?.tag !== undefined && repositoryName(parsed) === bare;
      });
      return names.length > 0 ? [{ image, names }] : [];
    });
    if (found.length > 0) return found;
  }
  if (!exact) throw notFound(`No such image: ${reference}`);
  const names = exact.records.filter((record) => {
    const tags = repoTags({ ...exact, records: [record] });
    return tags.length > 0 && isName(reference, record);
  });
  return [{ image: exact, names }];
}

/** The repository that a name without tag and digest means. */
function bareRepository(reference: string): string | undefined {
  try {
    const parsed = parseReference(reference);
    return parsed.tag === undefined && parsed.digest === undefined ? repositoryName(parsed) : undefined;
  } catch {
    return undefined;
  }
}

/** False for an image asked for by its id: it is saved without names. */
function isName(reference: string, record: string): boolean {
  try {
    return recordName(reference) === record;
  } catch {
    return false;
  }
}

/** Fails before the first byte when something of it is not in the store. */
async function refuseIncomplete(daemon: Daemon, { manifest }: ImageContent): Promise<void> {
  for (const { digest } of [manifest.config, ...manifest.layers])
    await daemon.containerd.content.info({ digest });
}

function entries({ content, names }: Wanted): Descriptor[] {
  const { mediaType, digest, size } = content.manifestDescriptor;
  const { os, architecture, variant } = content.config;
  const platform = { architecture, os, ...(variant === undefined ? {} : { variant }) };
  if (names.size === 0) return [{ mediaType, digest, size, platform }];
  return [...names].map((name) => ({
    mediaType,
    digest,
    size,
    annotations: {
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": parseReference(name).tag ?? "latest",
    },
    platform,
  }));
}
