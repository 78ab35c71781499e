import { isCode, notFound } from "../../base/errors.ts";
import type { CreateContainerRequest } from "../../engine/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { createContainer } from "../container/create.ts";
import { createShape } from "../container/shapes.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { noSuchImage } from "../images/store.ts";

/** `POST /containers/create?name=&platform=`. */
export const create: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const request = await bodyOf<CreateContainerRequest>(call, createShape);
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
