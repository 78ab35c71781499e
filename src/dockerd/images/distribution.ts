import { CortenError, invalid, isCode, messageOf } from "../../base/errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
} from "../../oci/image-spec.ts";
import { formatReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import type { Handler } from "../daemon.ts";
import type { Host } from "../host.ts";
import { credentialsOf, resolverCredentials } from "./auth.ts";

type Resolver = ReturnType<Host["resolver"]>;

const documentLimit = 4 << 20;

/** `GET /distribution/{name}/json`: what a registry has under a name, without pulling it. */
export const distribution: Handler = async ({ daemon, head, params, reply, signal }) => {
  let reference: ReturnType<typeof parseReference>;
  try {
    reference = withDefaultTag(parseReference(params["name"]!));
  } catch (error) {
    throw invalid("invalid reference format", error);
  }
  const resolver = daemon.host.resolver({
    ...resolverCredentials(credentialsOf(head.headers.get("x-registry-auth"))),
    signal,
  });
  try {
    const { name, descriptor } = await resolver.resolve(formatReference(reference));
    const { mediaType, digest, size } = descriptor;
    reply.json(200, {
      Descriptor: { mediaType, digest, size },
      Platforms: await platforms(resolver, name, descriptor),
    });
  } catch (error) {
    // The registry's own words; one that does not answer is a failure of the call, not of this daemon.
    throw isCode(error, "unavailable")
      ? new CortenError("internal", messageOf(error), { cause: error })
      : error;
  } finally {
    resolver.close();
  }
};

async function platforms(resolver: Resolver, name: string, target: Descriptor): Promise<Platform[] | null> {
  const read = async <T>(descriptor: Descriptor): Promise<T> => {
    if (descriptor.size > documentLimit)
      throw invalid(`${descriptor.digest} is larger than ${documentLimit} bytes`);
    const parts: Uint8Array[] = [];
    const stream = await resolver.fetcher(name).fetch(descriptor);
    for await (const part of stream as unknown as AsyncIterable<Uint8Array>) parts.push(part);
    return JSON.parse(Buffer.concat(parts).toString()) as T;
  };
  if (isIndexType(target.mediaType)) {
    const { manifests = [] } = await read<Index>(target);
    return manifests.flatMap(({ platform }) => (platform ? [platform] : []));
  }
  if (!isManifestType(target.mediaType)) return null;
  const { config } = await read<Manifest>(target);
  const { architecture, os, variant, "os.version": version } = await read<ImageConfig>(config);
  return [
    {
      architecture,
      os,
      ...(variant === undefined ? {} : { variant }),
      ...(version === undefined ? {} : { "os.version": version }),
    },
  ];
}
