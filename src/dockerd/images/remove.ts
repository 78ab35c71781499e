import { conflict, isCode, notFound } from "../../base/errors.ts";
import type { DeleteImageEntry } from "../../engine/types.ts";
import { familiarName, familiarReference, looksLikeIdentifier } from "../../oci/reference.ts";
import type { Container } from "../container/container.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { recordName } from "./name.ts";
import { danglingName, type ImageInfo, isDangling, noSuchImage, parseRecord } from "./store.ts";
import { keepDangling } from "./tag.ts";

/** `DELETE /images/{name}?force=&noprune=`. */
export const remove: Handler = async ({ daemon, params, query, reply }) => {
  reply.json(200, await removeImage(daemon, params["name"]!, query.bool("force")));
};

/** Removes a name, and with the last one the image; by id all names (several only with force). */
export async function removeImage(
  daemon: Daemon,
  reference: string,
  force: boolean,
): Promise<DeleteImageEntry[]> {
  const found = await daemon.images.get(reference);
  const image = await daemon.images.byId(found.id);
  if (!image) throw notFound(noSuchImage(reference));
  const byName = recordOf(reference, image);
  const named = image.records.filter((record) => !isDangling(record));
  const deleted: DeleteImageEntry[] = [];
  const users = daemon.containers.all().filter((container) => container.record.image === image.id);
  if (byName !== undefined && named.length > 1) {
    await untag(daemon, image, [byName], deleted);
    return deleted;
  }
  const short = image.id.slice(7, 19);
  if (byName === undefined) {
    const repositories = new Set(named.map((record) => record.replace(/:[^/]*$/, "")));
    if (repositories.size > 1 && !force)
      throw conflict(
        `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
      );
  }
  const running = users.find((container) => container.state.running);
  if (running) {
    if (byName !== undefined && !force) throw inUse(familiar(byName), running, "running", false);
    if (byName === undefined) throw inUse(short, running, "running", true);
    await untag(daemon, image, [byName!], deleted);
    await keepDangling(daemon, image);
    return deleted;
  }
  const stopped = users[0];
  if (stopped && !force)
    throw inUse(byName === undefined ? short : familiar(byName), stopped, "stopped", false);
  await untag(daemon, image, named, deleted);
  await daemon.containerd.images.delete({ name: danglingName(image.id), sync: true }).catch((error) => {
    if (!isCode(error, "not_found")) throw error;
  });
  deleted.push({ Deleted: image.id });
  for (const digest of [...image.content.chainIds].reverse()) deleted.push({ Deleted: digest });
  daemon.events.publish("image", "delete", image.id, { name: image.id });
  return deleted;
}

const familiar = (record: string): string => {
  const parsed = parseRecord(record);
  return parsed ? familiarReference(parsed) : record;
};

function inUse(what: string, container: Container, state: string, hard: boolean) {
  const by = `container ${container.id.slice(0, 12)}`;
  if (state === "running" && hard)
    return conflict(
      `conflict: unable to delete ${what} (cannot be forced) - image is being used by running ${by}`,
    );
  if (state === "running")
    return conflict(
      `conflict: unable to remove repository reference ${JSON.stringify(what)} (must force) - ${by} is using its referenced image ${container.record.image.slice(7, 19)}`,
    );
  return conflict(
    /^[0-9a-f]{12}$/.test(what)
      ? `conflict: unable to delete ${what} (must be forced) - image is being used by stopped ${by}`
      : `conflict: unable to remove repository reference ${JSON.stringify(what)} (must force) - ${by} is using its referenced image ${container.record.image.slice(7, 19)}`,
  );
}

/** The record a reference names; undefined when it is an id. */
function recordOf(reference: string, image: ImageInfo): string | undefined {
  try {
    const name = recordName(reference);
    if (image.records.includes(name)) return name;
  } catch {
    if (looksLikeIdentifier(reference)) return undefined;
  }
  if (looksLikeIdentifier(reference)) return undefined;
  const digest = reference.split("@")[1];
  return digest === undefined ? undefined : image.records.find((record) => !isDangling(record));
}

async function untag(
  daemon: Daemon,
  image: ImageInfo,
  records: readonly string[],
  deleted: DeleteImageEntry[],
): Promise<void> {
  const last = new Set(image.records.filter((record) => !isDangling(record) && !records.includes(record)));
  const repositories = new Set([...last].map((record) => record.replace(/[:@][^/]*$/, "")));
  const digests = new Set<string>();
  for (const record of records) {
    // The last of the names must not take the image with it while someone uses it; `sync` waits for the collector.
    await daemon.containerd.images.delete({ name: record, sync: false });
    const parsed = parseRecord(record);
    deleted.push({ Untagged: familiar(record) });
    if (parsed && !repositories.has(record.replace(/[:@][^/]*$/, "")))
      digests.add(`${familiarName(parsed)}@${image.pushed.get(record) ?? image.target.digest}`);
    daemon.events.publish("image", "untag", image.id, { name: familiar(record) });
  }
  for (const digest of digests)
    if (!deleted.some((entry) => entry.Untagged === digest)) deleted.push({ Untagged: digest });
}
