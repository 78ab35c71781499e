import { createHash } from "node:crypto";
import { CortenError, isCode, messageOf } from "../base/errors.ts";
import { isDigest } from "../oci/digest.ts";
import { type Descriptor, isIndexType, isManifestType, isNonDistributable } from "../oci/image-spec.ts";
import type { Answer, Endpoint } from "./endpoint.ts";
import { RegistryError } from "./errors.ts";
import { bodyOf, describe, discard, readBody } from "./http.ts";
import { onEndpoints, pullScope, type Repository } from "./repository.ts";
import { acceptManifests, maxManifestSize } from "./resolve.ts";

/** A source opened at a position of the content. */
interface Source {
  endpoint: Endpoint;
  bytes: AsyncIterable<Uint8Array>;
}

/** The bytes of a descriptor from `offset` on; resolves when the registry has begun to send them. */
export async function fetchContent(
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
): Promise<ReadableStream<Uint8Array>> {
  const { digest, mediaType, size } = descriptor;
  if (!isDigest(digest))
    throw new CortenError("invalid_argument", `invalid digest ${JSON.stringify(digest)}`);
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > size)
    throw new CortenError(
      "out_of_range",
      `offset ${offset} is outside of ${digest}, which has ${size} bytes`,
    );
  if (isManifestType(mediaType) || isIndexType(mediaType))
    return streamOf(oneChunk((await fetchManifest(repository, descriptor)).subarray(offset)));
  if (offset === size) return streamOf(oneChunk(new Uint8Array(0)));
  const open = (position: number) =>
    onEndpoints(repository, "pull", (endpoint) => openBlob(endpoint, repository, descriptor, position));
  return streamOf(resumed(repository, descriptor, offset, open, await open(offset)));
}

async function fetchManifest(repository: Repository, descriptor: Descriptor): Promise<Uint8Array> {
  const { digest, mediaType } = descriptor;
  return onEndpoints(repository, "pull", async (endpoint) => {
    const { request, response } = await endpoint.call({
      method: "GET",
      target: `${repository.reference.path}/manifests/${digest}`,
      headers: { accept: `${mediaType}, ${acceptManifests}` },
      scopes: [pullScope(repository.reference.path)],
      accept: [200],
    });
    const bytes = await readBody(request, response, maxManifestSize);
    const [algorithm, hex] = digest.split(":") as [string, string];
    const found = createHash(algorithm).update(bytes).digest("hex");
    if (found !== hex || bytes.length !== descriptor.size)
      throw new CortenError(
        "data_loss",
        `${describe(request)}: unexpected content ${algorithm}:${found} of ${bytes.length} bytes`,
      );
    repository.onEvent({ kind: "fetch", descriptor, offset: bytes.length, total: descriptor.size });
    return bytes;
  });
}

/** Opens a blob at a position (distribution-spec, "Pulling blobs"; ranges as in RFC 9110, section 14). */
async function openBlob(
  endpoint: Endpoint,
  repository: Repository,
  descriptor: Descriptor,
  position: number,
): Promise<Source> {
  const call = (target: string | URL) =>
    endpoint.call({
      method: "GET",
      target,
      headers: {
        accept: `${descriptor.mediaType}, */*`,
        ...(position > 0 && { range: `bytes=${position}-` }),
      },
      scopes: [pullScope(repository.reference.path)],
      accept: [200, 206],
    });
  let failure: unknown;
  // Layers that may not be distributed lie elsewhere; the registry may have a copy all the same.
  const urls = isNonDistributable(descriptor.mediaType) ? (descriptor.urls ?? []) : [];
  for (const text of urls.slice(0, 8)) {
    if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) continue;
    try {
      return { endpoint, bytes: positioned(await call(new URL(text)), position) };
    } catch (error) {
      failure = error;
    }
  }
  try {
    const target = `${repository.reference.path}/blobs/${descriptor.digest}`;
    return { endpoint, bytes: positioned(await call(target), position) };
  } catch (error) {
    throw failure !== undefined && error instanceof RegistryError && error.status === 404 ? failure : error;
  }
}

/** The answer's bytes from `position` on, whether or not the server did what the range asked. */
function positioned({ request, response }: Answer, position: number): AsyncIterable<Uint8Array> {
  if (position === 0 && response.status === 200) return bodyOf(request, response);
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    if (Number(start) === position) return bodyOf(request, response);
    void discard(response);
    throw new CortenError(
      "data_loss",
      `${describe(request)}: range starts at ${start}, asked for ${position}`,
    );
  }
  return skipping(bodyOf(request, response), position);
}

async function* skipping(bytes: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const chunk of bytes) {
    if (left >= chunk.length) left -= chunk.length;
    else {
      yield left > 0 ? chunk.subarray(left) : chunk;
      left = 0;
    }
  }
}

async function* resumed(
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
  open: (position: number) => Promise<Source>,
  first: Source,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = descriptor;
  let source: Source = first;
  let opened = true;
  let position = offset;
  let failures = 0;
  for (;;) {
    try {
      if (!opened) source = await open(position);
      opened = false;
      for await (const chunk of source.bytes) {
        if (position + chunk.length > size)
          throw new CortenError("data_loss", `${digest}: the registry sent more than its ${size} bytes`);
        position += chunk.length;
        failures = 0;
        repository.onEvent({ kind: "fetch", descriptor, offset: position, total: size });
        yield chunk;
      }
      if (position === size) return;
      throw new CortenError("unavailable", `${digest}: connection closed after ${position} of ${size} bytes`);
    } catch (error) {
      if (!isCode(error, "unavailable") || ++failures >= repository.attempts) throw error;
      await source.endpoint.pause(failures, messageOf(error));
    }
  }
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

function streamOf(source: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await source.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await source.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
