import { CortenError, isCode, messageOf } from "../base/errors.ts";
import { isDigest } from "../oci/digest.ts";
import { type Descriptor, isIndexType, isManifestType } from "../oci/image-spec.ts";
import type { Answer, Call, Endpoint } from "./endpoint.ts";
import { RegistryError } from "./errors.ts";
import { describe, discard } from "./http.ts";
import { onEndpoints, pullScope, pushScope, type Repository } from "./repository.ts";
import { acceptManifests, maxManifestSize } from "./resolve.ts";
import type { PushStatus, PushWriter } from "./types.ts";

type Open = () => AsyncIterable<Uint8Array>;

/** Pushes one manifest or blob unless it is there (distribution-spec, "Push"). */
export function pushContent(
  repository: Repository,
  descriptor: Descriptor,
  open: Open,
  mountFrom: readonly string[],
): Promise<PushStatus["state"]> {
  checkDigest(descriptor);
  const { mediaType } = descriptor;
  const manifest = isManifestType(mediaType) || isIndexType(mediaType);
  return onEndpoints(repository, "push", (endpoint) =>
    manifest
      ? pushManifest(endpoint, repository, descriptor, open)
      : pushBlob(endpoint, repository, descriptor, open, mountFrom),
  );
}

function checkDigest({ digest }: Descriptor): void {
  if (!isDigest(digest))
    throw new CortenError("invalid_argument", `invalid digest ${JSON.stringify(digest)}`);
}

async function pushManifest(
  endpoint: Endpoint,
  repository: Repository,
  descriptor: Descriptor,
  open: Open,
): Promise<PushStatus["state"]> {
  const { reference } = repository;
  const { digest, mediaType, size } = descriptor;
  // containerd's convention: of name:tag@digest only that digest gets the tag (an index's children do not).
  const tagged = reference.tag !== undefined && (reference.digest ?? digest) === digest;
  const target = `${reference.path}/manifests/${tagged ? reference.tag : digest}`;
  const scopes = [pushScope(reference.path)];
  const present = await ask(endpoint, { target, scopes, headers: { accept: acceptManifests } });
  if (present?.headers.get("docker-content-digest") === digest) {
    repository.onEvent({ kind: "exists", descriptor });
    return "exists";
  }
  if (size > maxManifestSize)
    throw new CortenError("resource_exhausted", `manifest ${digest} is larger than ${maxManifestSize} bytes`);
  const body = Buffer.concat(await Array.fromAsync(open()));
  const answer = await endpoint.call({
    method: "PUT",
    target,
    headers: { "content-type": mediaType },
    body,
    scopes,
    accept: [200, 201, 202],
  });
  await completed(answer, digest);
  repository.onEvent({ kind: "push", descriptor, offset: size, total: size });
  return "uploading";
}

/** HEAD: its answer, or undefined when the registry does not have it (or does not tell). */
async function ask(endpoint: Endpoint, call: Omit<Call, "method" | "accept">): Promise<Response | undefined> {
  const { response } = await endpoint.call({ ...call, method: "HEAD", accept: [200, 307, 404, 405] });
  await discard(response);
  return response.status === 200 ? response : undefined;
}

async function pushBlob(
  endpoint: Endpoint,
  repository: Repository,
  descriptor: Descriptor,
  open: Open,
  mountFrom: readonly string[],
): Promise<PushStatus["state"]> {
  const { path } = repository.reference;
  const { digest, size } = descriptor;
  const scopes = [pushScope(path)];
  if (await ask(endpoint, { target: `${path}/blobs/${digest}`, scopes })) {
    repository.onEvent({ kind: "exists", descriptor });
    return "exists";
  }
  let upload: URL | undefined;
  for (const from of mountFrom.slice(0, 4)) {
    const begun = await beginMount(endpoint, path, digest, from);
    if (begun === "mounted") {
      repository.onEvent({ kind: "mounted", descriptor, from });
      return "mounted";
    }
    if (upload)
      await endpoint.call({ method: "DELETE", target: upload, scopes, accept: allStatuses }).catch(() => {});
    upload = begun;
  }
  for (let attempt = 1; ; attempt++) {
    upload ??= await begin(endpoint, path);
    upload.searchParams.set("digest", digest);
    try {
      const answer = await endpoint.call({
        method: "PUT",
        target: upload,
        headers: { "content-type": "application/octet-stream", "content-length": String(size) },
        body: () => counted(repository, descriptor, open()),
        scopes,
        accept: [200, 201, 204],
      });
      await completed(answer, digest);
      return "uploading";
    } catch (error) {
      const passing =
        isCode(error, "unavailable") || (error instanceof RegistryError && error.status === 429);
      if (!passing || attempt >= repository.attempts) throw error;
      await endpoint.pause(attempt, messageOf(error));
      upload = undefined;
    }
  }
}

const allStatuses = [200, 202, 204, 400, 401, 403, 404, 405];

async function begin(endpoint: Endpoint, path: string): Promise<URL> {
  const answer = await endpoint.call({
    method: "POST",
    target: `${path}/blobs/uploads/`,
    headers: { "content-length": "0" },
    scopes: [pushScope(path)],
    accept: [202],
  });
  await discard(answer.response);
  return uploadOf(answer);
}

async function beginMount(
  endpoint: Endpoint,
  path: string,
  digest: string,
  from: string,
): Promise<URL | "mounted" | undefined> {
  const target = endpoint.url(`${path}/blobs/uploads/`);
  target.searchParams.set("mount", digest);
  target.searchParams.set("from", from);
  try {
    const answer = await endpoint.call({
      method: "POST",
      target,
      headers: { "content-length": "0" },
      scopes: [pushScope(path), pullScope(from)],
      accept: [201, 202],
    });
    await discard(answer.response);
    return answer.response.status === 201 ? "mounted" : uploadOf(answer);
  } catch (error) {
    // A repository that may not be read cannot be mounted from; the upload goes on without it.
    if (error instanceof RegistryError && error.status < 500) return undefined;
    throw error;
  }
}

function uploadOf({ request, response }: Answer): URL {
  const location = response.headers.get("location") ?? "";
  if (location === "" || !URL.canParse(location, request.url.href))
    throw new CortenError("unknown", `${describe(request)}: the registry gave no upload location`);
  const url = new URL(location, request.url);
  if (!/^https?:$/.test(url.protocol))
    throw new CortenError("unknown", `${describe(request)}: the registry gave an invalid upload location`);
  return url;
}

async function completed({ request, response }: Answer, digest: string): Promise<void> {
  await discard(response);
  const stored = response.headers.get("docker-content-digest");
  if (
    stored !== null &&
    isDigest(stored) &&
    stored.split(":")[0] === digest.split(":")[0] &&
    stored !== digest
  )
    throw new CortenError(
      "data_loss",
      `${describe(request)}: the registry stored ${stored}, sent was ${digest}`,
    );
}

async function* counted(
  repository: Repository,
  descriptor: Descriptor,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = descriptor;
  let offset = 0;
  for await (const chunk of bytes) {
    offset += chunk.length;
    if (offset > size) break;
    yield chunk;
    repository.onEvent({ kind: "push", descriptor, offset, total: size });
  }
  if (offset !== size) throw new CortenError("data_loss", `${digest}: content is not its ${size} bytes`);
}

/** Pieces are sent when this many bytes have come together, so that small writes do not become requests. */
const pieceSize = 8 * 1024 * 1024;

/** An upload in pieces: POST, PATCH for each, PUT with the digest (distribution-spec, "Pushing a blob in chunks"). */
export function openWriter(repository: Repository, descriptor: Descriptor): Promise<PushWriter> {
  checkDigest(descriptor);
  const { path } = repository.reference;
  const scopes = [pushScope(path)];
  return onEndpoints(repository, "push", async (endpoint) => {
    let upload: URL | undefined = await begin(endpoint, path);
    let held: Uint8Array[] = [];
    let heldSize = 0;
    let offset = 0;
    const here = (): URL => {
      if (!upload) throw new CortenError("failed_precondition", `upload of ${descriptor.digest} has ended`);
      return upload;
    };
    const flush = async () => {
      if (heldSize === 0) return;
      const body = Buffer.concat(held);
      const answer = await endpoint.call({
        method: "PATCH",
        target: here(),
        headers: {
          "content-type": "application/octet-stream",
          "content-range": `${offset}-${offset + body.length - 1}`,
        },
        // As a function: a piece must not be sent twice on a doubtful answer.
        body: async function* () {
          yield body;
        },
        scopes,
        accept: [201, 202, 204],
      });
      await discard(answer.response);
      upload = uploadOf(answer);
      offset += body.length;
      held = [];
      heldSize = 0;
      repository.onEvent({ kind: "push", descriptor, offset, total: descriptor.size });
    };
    return {
      async write(chunk) {
        here();
        held.push(Buffer.from(chunk));
        heldSize += chunk.length;
        if (heldSize >= pieceSize) await flush();
      },
      async commit() {
        await flush();
        const url = new URL(here());
        url.searchParams.set("digest", descriptor.digest);
        const headers = { "content-length": "0" };
        const answer = await endpoint.call({
          method: "PUT",
          target: url,
          headers,
          scopes,
          accept: [200, 201, 204],
        });
        upload = undefined;
        await completed(answer, descriptor.digest);
      },
      async abort() {
        const url = upload;
        upload = undefined;
        held = [];
        if (url) await endpoint.call({ method: "DELETE", target: url, scopes, accept: allStatuses });
      },
    };
  });
}
