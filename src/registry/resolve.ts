import { createHash } from "node:crypto";
import { CortenError } from "../base/errors.ts";
import { isDigest } from "../oci/digest.ts";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  isSchema1Type,
  mediaTypes,
} from "../oci/image-spec.ts";
import { familiarReference } from "../oci/reference.ts";
import type { Answer, Endpoint } from "./endpoint.ts";
import { RegistryError } from "./errors.ts";
import { describe, discard, readBody } from "./http.ts";
import { onEndpoints, pullScope, type Repository } from "./repository.ts";

/** Larger manifests are refused (distribution-spec: registries need not take more than 4 MiB). */
export const maxManifestSize = 4 * 1024 * 1024;

export const acceptManifests = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  "*/*",
].join(", ");

/** What the reference's tag or digest names now (distribution-spec, "Pulling manifests"). */
export function resolve(repository: Repository): Promise<Descriptor> {
  return onEndpoints(repository, "resolve", (endpoint) => resolveOn(endpoint, repository));
}

async function resolveOn(endpoint: Endpoint, repository: Repository): Promise<Descriptor> {
  const { reference } = repository;
  const call = {
    target: `${reference.path}/manifests/${reference.digest ?? reference.tag ?? "latest"}`,
    headers: { accept: acceptManifests },
    scopes: [pullScope(reference.path)],
    accept: [200],
  };
  let head: Answer | undefined;
  try {
    head = await endpoint.call({ ...call, method: "HEAD" });
  } catch (error) {
    // The answer to HEAD has no body to explain itself with, and some registries do not do HEAD at all.
    if (!(error instanceof RegistryError) || error.status >= 500) throw error;
  }
  const found = head && descriptorOf(head);
  if (head) await discard(head.response);
  const descriptor = found ?? (await measured(await endpoint.call({ ...call, method: "GET" })));
  const name = familiarReference(reference);
  if (reference.digest !== undefined && descriptor.digest !== reference.digest)
    throw new CortenError("data_loss", `${name}: the registry answered with ${descriptor.digest}`);
  if (isSchema1Type(descriptor.mediaType))
    throw new CortenError(
      "unimplemented",
      `${name} is a Docker image manifest of version 2, schema 1, which is no longer supported; ` +
        "its author can push it again as an OCI image or with schema 2",
    );
  if (!isManifestType(descriptor.mediaType) && !isIndexType(descriptor.mediaType))
    throw new CortenError(
      "invalid_argument",
      `${name}: unsupported manifest media type ${JSON.stringify(descriptor.mediaType)}`,
    );
  if (descriptor.size > maxManifestSize)
    throw new CortenError(
      "resource_exhausted",
      `${name}: manifest of ${descriptor.size} bytes is larger than ${maxManifestSize}`,
    );
  return descriptor;
}

/** The descriptor that the headers give, when they are complete. */
function descriptorOf({ response }: Answer): Descriptor | undefined {
  const digest = response.headers.get("docker-content-digest") ?? "";
  const mediaType = mediaTypeOf(response);
  const length = response.headers.get("content-length") ?? "";
  if (!isDigest(digest) || !mediaType || !/^[1-9]\d{0,15}$/.test(length)) return undefined;
  return { mediaType, digest, size: Number(length) };
}

async function measured({ request, response }: Answer): Promise<Descriptor> {
  const bytes = await readBody(request, response, maxManifestSize);
  const announced = response.headers.get("docker-content-digest") ?? "";
  const algorithm = announced.startsWith("sha512:") ? "sha512" : "sha256";
  const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (isDigest(announced) && announced !== digest)
    throw new CortenError(
      "data_loss",
      `${describe(request)}: content is ${digest}, announced as ${announced}`,
    );
  return { mediaType: mediaTypeOf(response) ?? declaredType(bytes), digest, size: bytes.length };
}

/** Content-Type, unless it is one that says nothing. */
function mediaTypeOf(response: Response): string | undefined {
  const type = (response.headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
  return ["", "text/plain", "application/json", "application/octet-stream"].includes(type) ? undefined : type;
}

function declaredType(bytes: Uint8Array): string {
  try {
    const document = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown> | null;
    if (document?.["schemaVersion"] === 1) return mediaTypes.dockerSchema1;
    const declared = document?.["mediaType"];
    if (typeof declared === "string") return declared;
    if (Array.isArray(document?.["manifests"])) return mediaTypes.ociIndex;
    if (Array.isArray(document?.["layers"])) return mediaTypes.ociManifest;
  } catch {
    // Not JSON: the type stays empty and is refused by its reader.
  }
  return "";
}
