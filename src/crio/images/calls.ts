import type { AuthConfig } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { type CortenError, CortenError as Failure, isCode, messageOf, notFound } from "../../base/errors.ts";
import { credentialsOf } from "../../cri/images/credentials.ts";
import { imageMessage } from "../../cri/images/message.ts";
import { nowNanoseconds } from "../../cri/records.ts";
import type { ImageCalls } from "../../cri/service/backend.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatReference, parseReference, repositoryName, withDigest } from "../../oci/reference.ts";
import { createResolver } from "../../registry/index.ts";
import type { CrioParts } from "../context.ts";
import { credentialsFor } from "../registries/auth.ts";
import { candidatesFor, expandName } from "../registries/candidates.ts";
import { checkPolicy, policyFor } from "../registries/policy.ts";
import type { Candidate } from "../registries/types.ts";
import { findImage, nameError } from "./find.ts";
import { isPinned } from "./pinned.ts";
import { fetchImage } from "./pull.ts";
import { criImage, type ImageRecord } from "./records.ts";

/** Counting the blocks of all layers costs time: an answer is good for so long. */
const usageMaxAge = 10_000;

/** ImageService on the store. */
export function imageCalls(parts: CrioParts): ImageCalls {
  const { store, settings, metrics, config } = parts;
  let usage: { at: number; size: number; inodes: number } | undefined;
  const all = () =>
    store.records
      .all()
      .map((record) =>
        criImage(store.records, record, isPinned(settings.crio.image, store.records.namesOf(record.id))),
      );
  return {
    async listImages({ filter }) {
      const wanted = filter?.image?.image ?? "";
      if (wanted === "") return { images: all().map(imageMessage) };
      const found = findImage(parts, wanted);
      return { images: found ? [imageMessage(found)] : [] };
    },
    async imageStatus({ image, verbose }) {
      const found = findImage(parts, image!.image);
      if (!found) return {};
      return {
        image: imageMessage(found),
        ...(verbose
          ? { info: { info: JSON.stringify({ chainID: found.chainId ?? "", imageSpec: found.config }) } }
          : {}),
      };
    },
    async pullImage({ image, auth, sandboxConfig }, signal) {
      const { image: text, runtimeHandler } = image!;
      if (runtimeHandler !== "" && !config.runtimes[runtimeHandler])
        throw notFound(`no runtime for ${JSON.stringify(runtimeHandler)} is configured`);
      try {
        const imageRef = await pullImage(parts, text, auth, sandboxConfig?.metadata?.namespace ?? "", signal);
        metrics.add("image_pulls_success_total");
        return { imageRef };
      } catch (error) {
        metrics.add("image_pulls_failure_total");
        throw error;
      }
    },
    async removeImage({ image }) {
      const found = findImage(parts, image!.image);
      if (!found) return {};
      store.records.remove(found.id);
      await store.collect();
      return {};
    },
    async imageFsInfo() {
      if (!usage || Date.now() - usage.at > usageMaxAge) {
        const now = { at: Date.now(), size: 0, inodes: 0 };
        const names: string[] = [];
        await store.snapshots.walk(({ name }) => void names.push(name));
        for (const name of names) {
          const one = await store.snapshots.usage(name).catch((error) => {
            // It went away while it was counted.
            if (!isCode(error, "not_found")) throw error;
            return { size: 0, inodes: 0 };
          });
          now.size += one.size;
          now.inodes += one.inodes;
        }
        usage = now;
      }
      const filesystem = {
        timestamp: BigInt(nowNanoseconds()),
        fsId: { mountpoint: store.root },
        usedBytes: { value: BigInt(usage.size) },
        inodesUsed: { value: BigInt(usage.inodes) },
      };
      return { imageFilesystems: [filesystem], containerFilesystems: [filesystem] };
    },
  };
}

/** Tries every name the text may stand for, and for each every place it is to be had from; gives the id. */
async function pullImage(
  parts: CrioParts,
  text: string,
  auth: AuthConfig | undefined,
  namespace: string,
  signal: AbortSignal,
): Promise<Digest> {
  const { settings, store } = parts;
  const { image } = settings.crio;
  let names: string[];
  try {
    names = expandName(
      settings.registries,
      text.replace(/^docker:\/\//, ""),
      image.short_name_mode === "enforcing",
    );
  } catch (error) {
    throw nameError(text, error);
  }
  const policy = policyFor(image, namespace);
  let failure: CortenError | undefined;
  for (const name of names) {
    if (policy) checkPolicy(policy, name);
    for (const candidate of candidatesFor(settings.registries, image.insecure_registries, name)) {
      try {
        const record = await store.holding(async () => {
          const pulled = await pullFrom(parts, candidate, auth, signal);
          const byDigest = formatReference(withDigest(parseReference(name), pulled.target));
          store.records.put(pulled, [name, byDigest]);
          return pulled;
        });
        // A tag that has moved on, and what a failed attempt left.
        void store.collect();
        return record.id;
      } catch (error) {
        if (signal.aborted) throw error;
        failure = new Failure(
          error instanceof Failure ? error.code : "unknown",
          `failed to pull image ${JSON.stringify(name)} from ${repositoryName(parseReference(candidate.reference))}: ${messageOf(error)}`,
          { cause: error },
        );
      }
    }
  }
  void store.collect();
  throw failure!;
}

async function pullFrom(
  { settings, store, metrics }: CrioParts,
  { reference, insecure }: Candidate,
  auth: AuthConfig | undefined,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const credentials = credentialsOf(auth) ?? credentialsFor(settings.crio.image.global_auth_file, reference);
  const resolver = createResolver({
    ...(credentials ? { credentials: () => credentials } : {}),
    insecureRegistries: insecure ? [parseReference(reference).domain] : [],
    signal,
  });
  try {
    const { name, descriptor } = await resolver.resolve(reference);
    return await fetchImage(
      {
        store,
        fetcher: resolver.fetcher(name),
        signal,
        onBytes: (count) => metrics.add("image_pulls_bytes_total", {}, count),
      },
      descriptor,
    );
  } finally {
    resolver.close();
  }
}
