import { isCode, notFound } from "../../base/errors.ts";
import type { CreateContainerRequest } from "../../engine/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { Container } from "../container/container.ts";
import { createContainer } from "../container/create.ts";
import { configFields, createShape, hostFields } from "../container/shapes.ts";
import { startContainer } from "../container/start.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { statusOf } from "../http/errors.ts";
import { bodyOf } from "../http/router.ts";
import { noSuchImage } from "../images/store.ts";

/**
 * `POST /containers/create?name=&platform=`. With the header `Corten-Start: 1`, which other daemons do not know, the
 * container is started as well, and `Start` says how that went: as `POST /containers/{id}/start` would have answered.
 */
export const create: Handler = async (call) => {
  const { daemon, head, query, reply } = call;
  const request = hostSettingsBelow(await bodyOf<CreateContainerRequest>(call, createShape));
  const platform = query.string("platform");
  let created: Awaited<ReturnType<typeof createContainer>>;
  try {
    created = await createContainer(daemon, {
      name: query.string("name"),
      request,
      ...(platform === "" ? {} : { platform: parsePlatform(platform) }),
    });
  } catch (error) {
    // Content may be missing below a record; to the client the image is not there, and it pulls.
    if (isCode(error, "not_found") && /content|manifest|blob/.test((error as Error).message))
      throw notFound(noSuchImage(String(request.Image ?? "")), error);
    throw error;
  }
  const { container, warnings } = created;
  const Start = head.headers.get("corten-start") === "1" ? await startOf(daemon, container) : undefined;
  reply.json(201, { Id: container.id, Warnings: warnings, ...(Start && { Start }) });
};

async function startOf(daemon: Daemon, container: Container): Promise<{ status: number; message?: string }> {
  try {
    await startContainer(daemon, container);
    return { status: 204 };
  } catch (error) {
    return statusOf(error);
  }
}

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
