import { isCode, notFound } from "../../base/errors.ts";
import type { CreateContainerRequest } from "../../engine/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { createContainer } from "../container/create.ts";
import { configFields, createShape, hostFields } from "../container/shapes.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { noSuchImage } from "../images/store.ts";

/** `POST /containers/create?name=&platform=`. */
export const create: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const request = hostSettingsBelow(await bodyOf<CreateContainerRequest>(call, createShape));
  const platform = query.string("platform");
  try {
    const { container, warnings } = await createContainer(daemon, {
      name: query.string("name"),
      request,
      ...(platform === "" ? {} : { platform: parsePlatform(platform) }),
    });
    reply.json(201, { Id: container.id, Warnings: warnings });
  } catch (error) {
    // Content may be missing below a record; to the client the image is not there, and it pulls.
    if (isCode(error, "not_found") && /content|manifest|blob/.test((error as Error).message))
      throw notFound(noSuchImage(String(request.Image ?? "")), error);
    throw error;
  }
};

/**
 * What belongs into HostConfig and was sent beside it: taken where there is no HostConfig, and what it says nothing of
 * for the few that Docker takes then.
 */
function hostSettingsBelow(request: CreateContainerRequest): CreateContainerRequest {
  const beside: Record<string, unknown> = {};
  const rest: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(request))
    (Object.hasOwn(hostFields, key) && !Object.hasOwn(configFields, key) ? beside : rest)[key] = value;
  if (Object.keys(beside).length === 0) return request;
  const host = (request.HostConfig ?? undefined) as Record<string, unknown> | undefined;
  const late = ["Memory", "MemorySwap", "CpuShares", "CpusetCpus", "VolumeDriver", "Runtime"];
  const taken = host
    ? Object.fromEntries(late.filter((key) => key in beside && !host[key]).map((key) => [key, beside[key]]))
    : beside;
  return { ...rest, HostConfig: { ...host, ...taken } } as CreateContainerRequest;
}
